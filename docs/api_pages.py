"""Pages of the API reference: one for each public module, from its docstring and `__all__`, and one for the command."""

import importlib
import importlib.util
import inspect
from contextlib import redirect_stdout, suppress
from io import StringIO

# Public modules that `import fastnn` does not bring along, and classes of results beyond `__all__`.
BESIDE = ["fastnn.sklearn", "fastnn.weights.plot"]
ALSO = {"fastnn": ["lr_finder.LRCurve"]}
COMMANDS = ["train", "predict", "evaluate", "inspect", "bench"]


def modules():
    """Names of the public modules, the package first."""
    package = importlib.import_module("fastnn")
    inner = sorted(f"fastnn.{name}" for name in package.__all__ if inspect.ismodule(getattr(package, name)))
    return ["fastnn", *inner, *(name for name in BESIDE if importlib.util.find_spec(name))]


def public(module):
    """The public names of a module, with their objects. Modules have pages of their own."""
    found = importlib.import_module(module)
    names = {name: getattr(found, name) for name in found.__all__ if not name.startswith("__")}
    return {name: value for name, value in names.items() if not inspect.ismodule(value)}


def home(module, name):
    """The module on whose page a name stands: what `fastnn` has from another one stands there."""
    value = public(module)[name]
    inner = modules() if module == "fastnn" else [module]
    return next(place for place in reversed(inner) if public(place).get(name) is value)


def write_pages(folder):
    folder.mkdir(exist_ok=True)
    for module in modules():
        write(folder / f"{module}.rst", "\n\n".join(page(module)))
    write(folder / "command.rst", "\n\n".join(command_page()))


def write(path, text):
    """Where it differs: Sphinx reads again what is newer."""
    if not path.exists() or path.read_text("utf-8") != text:
        path.write_text(text, encoding="utf-8")


def page(module):
    names = {name: value for name, value in public(module).items() if home(module, name) == module}
    yield title(module)
    yield inspect.cleandoc(importlib.import_module(module).__doc__)
    yield f".. currentmodule:: {module}"
    classes = [name for name, value in names.items() if inspect.isclass(value)]
    yield from table("Classes", classes + ALSO.get(module, []))
    yield from table("Functions", [name for name, value in names.items() if inspect.isroutine(value)])
    elsewhere = [f"{home(module, name)}.{name}" for name in public(module) if name not in names]
    if elsewhere:
        yield "From other modules: " + ", ".join(f":py:obj:`{name}`" for name in elsewhere) + "."
    instances = {name: value for name, value in names.items() if not inspect.isclass(value) and callable(value)
                 and not inspect.isroutine(value)}
    if instances:
        yield ".. rubric:: Functions of an array"
        for name, value in instances.items():
            kind = type(value).__name__
            yield f".. py:function:: {name}(x)\n\n   The same as ``{value!r}(x)``: see :py:class:`{kind}`."


def title(text):
    return f"{text}\n{'=' * len(text)}"


def table(heading, names):
    if names:
        yield f".. rubric:: {heading}"
        yield ".. autosummary::\n   :toctree: generated\n\n" + "\n".join(f"   {name}" for name in names)


def command_page():
    yield title("fastnn (command)")
    yield "``python -m fastnn`` is the same."
    for command in [[], *([name] for name in COMMANDS)]:
        shown = " ".join(["fastnn", *command, "--help"])
        said = StringIO()
        with redirect_stdout(said), suppress(SystemExit):
            importlib.import_module("fastnn.cli").main([*command, "--help"])
        yield f"{shown}\n{'-' * len(shown)}"
        yield ".. code-block:: text\n\n" + "\n".join(f"   {line}".rstrip() for line in said.getvalue().splitlines())


def missing_names(documented):
    """Public names that are not among the names of documented objects."""
    for module in modules():
        for name in public(module):
            if f"{home(module, name)}.{name}" not in documented:
                yield f"{module}.{name}"
