"""A picture for each plot."""

import runpy
import sys
from pathlib import Path

import pytest

import fastnn as fnn

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402

FOLDER = Path(__file__).resolve().parents[1] / "examples" / "plots"
NEEDS = {"importance": "sklearn"}
pytestmark = pytest.mark.skipif(not FOLDER.exists(), reason="no examples beside the tests")


def test_each_plot_has_one():
    assert {path.stem for path in FOLDER.glob("*.py")} == {f"plot_{name}" for name in fnn.weights.plot.__all__}


def test_each_plot_stands_in_the_documentation():
    page = (FOLDER.parents[1] / "docs" / "plots.md").read_text(encoding="utf-8")
    assert all(f"| `{name}(" in page for name in fnn.weights.plot.__all__)


@pytest.mark.parametrize("name", fnn.weights.plot.__all__)
def test_examples_draw_one_figure(name, monkeypatch, capsys):
    pytest.importorskip(NEEDS.get(name, "matplotlib"))
    path = FOLDER / f"plot_{name}.py"
    title, line, *_ = path.read_text(encoding="utf-8").removeprefix('"""\n').splitlines()
    assert line == "=" * len(title)
    monkeypatch.setattr(sys, "argv", [str(path)])
    runpy.run_path(str(path), run_name="__main__")
    assert len(pyplot.get_fignums()) == 1
    assert all(ax.get_title() for ax in pyplot.gcf().axes if ax.axison and ax.get_label() != "<colorbar>")
    pyplot.close("all")
