"""The documentation site: `sphinx-build -W docs docs/_build` (pip install ".[docs,viz]").

Pages are Markdown that reads well in the repository, too. What only the site needs is made here: tables of contents
from the lists of links that pages have for readers anyway, pages of the API reference from `__all__`, and links to
files outside of this folder turned to the pages that show them.
"""

import inspect
import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import matplotlib  # noqa: E402
from api_pages import missing_names, modules, write_pages  # noqa: E402
from sphinx.util import logging  # noqa: E402

import fastnn  # noqa: E402

matplotlib.use("Agg")

project = "fastnn"
author = "The fastnn developers"
copyright = author
version = release = fastnn.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "numpydoc", "sphinx_gallery.gen_gallery",
              "sphinx_copybutton"]
exclude_patterns = ["_build", "_templates", "gallery/**/*.ipynb", "gallery/**/*.py", "api/backreferences"]
templates_path = ["_templates"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
default_role = "py:obj"
smartquotes = False
myst_heading_anchors = 3

autosummary_generate = True
# What a class has from these, and what it overrides of them, stands on their pages.
BASES = {"Layer", "Weighted", "Optimizer", "Callback", "Loss", "Metric", "Activation", "Initializer", "Regularizer",
         "Constraint", "LearningRateSchedule", "BaseEstimator", "BaseException", "Named", "tuple", "object"}
# What no user calls.
HIDDEN = {"better", "combine", "combined_shape", "draw_for", "judged_weights", "kernel_and_bias", "lower_product",
          "row_of_activation", "selected", "traced", "value"}
autosummary_context = {"stop_at": ", ".join(sorted(BASES))}
autodoc_typehints = "none"  # docstrings say them
autodoc_member_order = "groupwise"
toc_object_entries_show_parents = "hide"
numpydoc_show_class_members = False  # autodoc documents them, each once

copybutton_prompt_text = r">>> |\.\.\. "
copybutton_prompt_is_regexp = True


def examples_that_run():
    """All that have their data; the others are shown without what they say and draw."""
    lacking = []
    try:
        fastnn.datasets.load_fashion_mnist()
    except FileNotFoundError as error:
        lacking = [path.stem for path in (HERE.parent / "examples").glob("*.py")
                   if "load_fashion_mnist" in path.read_text("utf-8")]
        logging.getLogger(__name__).info("not run: %s: %s", ", ".join(lacking), error)
    return rf"/(?!({'|'.join(lacking)})\.py)\w+\.py$" if lacking else r"\.py$"


sphinx_gallery_conf = {
    "examples_dirs": ["../examples"],
    "gallery_dirs": ["gallery"],
    "filename_pattern": examples_that_run(),
    "abort_on_example_error": True,
    "doc_module": ("fastnn",),
    "backreferences_dir": "api/backreferences",
    "remove_config_comments": True,
    "download_all_examples": False,
    "show_memory": False,
    "show_signature": False,
}

html_theme = "pydata_sphinx_theme"
html_title = "fastnn"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "navbar_align": "left",
    "header_links_before_dropdown": 6,
    "collapse_navigation": True,
    "show_toc_level": 2,
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": {"**": ["page-toc"], "index": [], "from_keras": [], "from_pytorch": [],
                                "from_sklearn": []},
}
html_sidebars = {"index": []}

# ---- pages ------------------------------------------------------------------------------------------------

# A line of a list that begins with a link in bold letters names a page below this one.
CHILD = re.compile(r"^- \*\*\[([^]]+)\]\(([^)]+?)(?:\.md|\.rst)?\)\*\*", re.MULTILINE)
PARENTS = ("index", "start", "guide", "api", "inside")
OUTSIDE = [
    (r"\.\./README\.md#speed", "project/speed.md"),
    (r"\.\./README\.md", "index.md"),
    (r"\.\./CONTRIBUTING\.md", "project/contributing.md"),
    (r"\.\./CHANGELOG\.md", "project/changelog.md"),
    (r"\.\./examples/([\w/]+)\.py", r"gallery/\1.rst"),
    (r"\.\./examples/(\w+)", r"gallery/\1/index.rst"),
    (r"\.\./examples", "gallery/index.rst"),
]


def inside(text):
    """Links to files outside of this folder, as links to the pages that show them; pages by title, not by file."""
    for there, here in OUTSIDE:
        text = re.sub(rf"\]\({there}\)", f"]({here})", text)
    return re.sub(r"\[[\w/]+\.md\]\(", "[](", text)


def tables_of_contents(text):
    """A hidden one for each section that lists pages, under the section's name."""
    for section in re.split(r"^## ", inside(text), flags=re.MULTILINE):
        pages = [f"{name} <{page}>" for name, page in CHILD.findall(section)]
        if pages:
            yield toctree(pages, caption=section.splitlines()[0].lstrip("# "))


def toctree(pages, caption):
    return "\n".join(["", "```{toctree}", ":hidden:", f":caption: {caption}", "", *pages, "```", ""])


def unlisted():
    """Pages that no other page lists: they must not be lost."""
    listed = {page for parent in PARENTS for _, page in CHILD.findall((HERE / f"{parent}.md").read_text("utf-8"))}
    return sorted({page.stem for page in HERE.glob("*.md")} - listed - {"index"})


def read(app, name, source):
    text = source[0]
    if name in PARENTS:
        text += "".join(tables_of_contents(text))
        if name == "guide" and (rest := unlisted()):
            text += toctree(rest, "More")
        if name == "api":
            text += toctree([*(f"api/{module}" for module in modules()), "api/command"], "Modules")
    source[0] = inside(text)


def find_class(app, env, node, content):
    """Links from `Dense` in a docstring of another module, if one class only has that name."""
    found = [name for module in modules() for name in [f"{module}.{node['reftarget']}"]
             if node["reftarget"][:1].isupper() and name in env.get_domain("py").objects]
    if len(found) == 1:
        return env.get_domain("py").resolve_xref(env, node["refdoc"], app.builder, "obj", found[0], node, content)


def check_names(app, env):
    """With warnings as errors no public name stays without its entry in the reference."""
    for name in missing_names(env.get_domain("py").objects):
        logging.getLogger(__name__).warning("%s is public and not in the API reference", name)


def skip(app, what, name, thing, skipped, options):
    """What overrides a member of a base, and what comes from other libraries."""
    module, path = getattr(thing, "__module__", None), getattr(thing, "__qualname__", None)
    if skipped or name in HIDDEN:
        return True
    if not module or not path:
        return None
    owner = getattr(sys.modules[module], path.split(".")[0], None)
    bases = owner.__mro__[1:] if inspect.isclass(owner) else ()
    return not module.startswith("fastnn") or any(name in vars(base) for base in bases if base.__name__ in BASES)


def setup(app):
    write_pages(HERE / "api")
    app.connect("source-read", read)
    app.connect("autodoc-skip-member", skip)
    app.connect("missing-reference", find_class)
    app.connect("env-check-consistency", check_names)
