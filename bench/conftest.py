"""Settings of the benchmarks: `pytest bench/bench_kernels.py`."""

import sys
from pathlib import Path

# The benchmarks share helpers, and the table of kernels with the tests.
sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "tests")]

import common  # noqa: E402


def pytest_benchmark_update_machine_info(config, machine_info):
    machine_info["fastnn"] = common.machine()


def pytest_report_header():
    return [f"{key}: {value}" for key, value in common.machine().items()]
