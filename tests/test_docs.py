"""Every code block of the documentation and of the docstrings runs, and so do the examples."""

import doctest
import importlib
import importlib.util
import pkgutil
import re
import runpy
import sys
import warnings
from pathlib import Path

import pytest

import fastnn

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(path for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")] if path.exists())
# What pages, modules and examples with this in their names need.
NEEDS = {"sklearn": "sklearn", "sklearn_tables": "pandas", "parquet": "pyarrow", "plot": "matplotlib",
         "report": "matplotlib", "tensorboard": "tensorboardX"}
# A block that begins with ```python keras runs where Keras is installed.
BLOCK = re.compile(r"^```(python|pycon)(?: (\w+))?\n(.*?)^```", re.MULTILINE | re.DOTALL)


def needs(name):
    for part, module in NEEDS.items():
        if part in name:
            pytest.importorskip(module)


def installed(library):
    return all(map(importlib.util.find_spec, ["keras", "torch", "h5py"] if library == "keras" else [library]))


@pytest.fixture(autouse=True)
def pictures(monkeypatch):
    """Drawn without a window, and closed again."""
    monkeypatch.setenv("MPLBACKEND", "Agg")
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_code_blocks_run(page, tmp_path, monkeypatch):
    """In order, in one namespace a page; the output of ``pycon`` blocks is compared."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    needs(page.stem)
    text, names = page.read_text(encoding="utf-8"), {"__name__": page.stem}
    for block in BLOCK.finditer(text):
        line = text.count("\n", 0, block.start()) + 1
        if block[2] and not installed(block[2]):
            continue
        if block[1] == "python":
            with warnings.catch_warnings():
                if block[2]:
                    warnings.simplefilter("ignore")  # warnings of other libraries are not ours
                exec(compile("\n" * line + block[3], page, "exec"), names)
            continue
        test = doctest.DocTestParser().get_doctest(block[3], names, page.name, str(page), line)
        said = []
        runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
        assert not runner.run(test, out=said.append, clear_globs=False).failed, "".join(said)
        names = test.globs


MODULES = [module.name for module in pkgutil.walk_packages(fastnn.__path__, "fastnn.") if "__main__" not in module.name]


@pytest.mark.parametrize("name", MODULES)
def test_docstrings_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    needs(name)
    flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    assert not doctest.testmod(importlib.import_module(name), optionflags=flags).failed


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_to_files_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_every_page_is_found_from_the_readme():
    if not (ROOT / "README.md").exists():
        pytest.skip("no documentation beside the tests")
    found, new = set(), {ROOT / "README.md"}
    while new:
        page = new.pop()
        found.add(page)
        targets = re.findall(r"\]\(([^)#:]+\.md)\)", page.read_text(encoding="utf-8"))
        new |= {(page.parent / target).resolve() for target in targets} - found
    assert found >= set(PAGES)


def test_the_reference_has_every_public_name():
    if not (ROOT / "docs").exists():
        pytest.skip("no documentation beside the tests")
    written = runpy.run_path(str(ROOT / "docs" / "api_pages.py"))
    pages = {module: "\n".join(written["page"](module)) for module in written["modules"]()}
    assert {"fastnn", "fastnn.layers", "fastnn.weights"} <= set(pages)
    for module, page in pages.items():
        for name in set(importlib.import_module(module).__all__) - {"__version__"}:
            assert f"{module}.{name}" in pages or re.search(rf"(   |[.]|:: ){name}\b", page), (module, name)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["digits", "custom_layer_and_loss", "tabular", "stream_parquet", "sklearn_drop_in",
                                  "sklearn_tables", "reinforcement_learning", "sparse_text"])
def test_examples_run(name, monkeypatch, capsys):
    """The quick ones; building the documentation runs all."""
    needs(name)
    pytest.importorskip("matplotlib").use("Agg")
    path = ROOT / "examples" / f"{name}.py"
    if not path.exists():
        pytest.skip("no examples beside the tests")
    monkeypatch.setattr(sys, "argv", [str(path)])
    import matplotlib.pyplot as plt

    shown = []
    monkeypatch.setattr(plt, "show", lambda: shown.extend(plt.get_fignums()) or plt.close("all"))
    runpy.run_path(str(path), run_name="__main__")
    assert capsys.readouterr().out and shown and not plt.get_fignums()
