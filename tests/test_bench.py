"""The scripts in bench run, and write what they found."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[1] / "bench"
pytestmark = pytest.mark.skipif(not BENCH.is_dir(), reason="no bench beside the tests")


@pytest.fixture
def run(tmp_path):
    """Runs a script for one round; its output and results."""
    # The scripts import their neighbours.
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONSAFEPATH"}

    def run(script, *args):
        found = tmp_path / "found.json"
        done = subprocess.run([sys.executable, BENCH / script, "--rounds", "1", "--json", found, *args], text=True,
                              capture_output=True, timeout=60, env=environment)
        assert done.returncode == 0, done.stderr
        return done.stdout, json.loads(found.read_text())["results"]

    return run


def test_peers(run, tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- speed table: begin -->\nold\n<!-- speed table: end -->\nafter\n")
    out, (result,) = run("peers.py", "--works", "20-64-64-2", "--contestants", "fastnn", "NumPy", "--threads", "1",
                         "--write", str(page))
    assert re.search(r"\| 20-64-64-2, batch 32 \| 1 \| \*\*[\d.]+ \([\d.]+\) us\*\* \| .* \| NumPy \| [\d.]+x \|", out)
    assert [(row["contestant"], row["threads"]) for row in result["times"]] == [("fastnn", 1), ("NumPy", 1)]
    assert all(row["cores"] < 1.1 and min(row["seconds_per_step"]) > 0 for row in result["times"])
    before, *_, after = page.read_text().splitlines()
    assert (before, after) == ("before", "after")
    assert "| 20-64-64-2" in page.read_text()
    assert "old" not in page.read_text()


def test_kernel_grid(run):
    pytest.importorskip("threadpoolctl")
    out, (result,) = run("kernel_grid.py", "--shapes", "16x64x32", "--dtype", "float64")
    assert "| 16 x 64 x 32 | 1 |" in out
    assert result["dtype"] == "float64"
    assert [(row["product"], row["contestant"]) for row in result["rates"]] == [
        (product, name) for product in ("forward", "input gradient", "kernel gradient") for name in ("fastnn", "NumPy")]


def test_scaling(run):
    out, (result,) = run("scaling.py", "--works", "54-100-7", "--threads", "1", "2")
    assert re.search(r"\| 54-100-7, batch 200 \| 1 \| .* \| 1.00 \| 100% \| ", out)
    assert [row["threads"] for row in result["times"]] == [1, 2]
