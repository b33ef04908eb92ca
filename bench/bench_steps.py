"""Training steps of the named works: fastnn, its NumPy reference, scikit-learn and torch, at 1 and 2 threads.

pytest bench/bench_steps.py [-k 784-128-10] [--benchmark-json FILE]

A round is an epoch; ``us_per_step`` in the JSON file is its median over the number of steps. The contestants
run one after another here. `speed_table.py` runs them in turns, which is fairer on a machine that others use.
"""

import pytest
from common import THREADS, limited_threads, median
from contestants import CONTESTANTS

from fastnn.works import WORKS


@pytest.mark.parametrize("contestant", CONTESTANTS)
@pytest.mark.parametrize("n_threads", THREADS, ids=lambda n: f"{n}-threads")
@pytest.mark.parametrize("work", WORKS, ids=lambda work: work.name)
def test_steps(benchmark, work, n_threads, contestant):
    with limited_threads(n_threads):
        epoch = CONTESTANTS[contestant](work, n_threads)
        benchmark.group = f"{work.name}, batch {work.batch}, {n_threads} threads, {work.steps} steps"
        benchmark.pedantic(epoch, rounds=2 if work.large else 5, warmup_rounds=1)
    if benchmark.stats:
        benchmark.extra_info["us_per_step"] = median(benchmark.stats.stats.data) / work.steps * 1e6
