"""A contestant in a process of its own, on its own number of threads, that works when told to.

Libraries fix their number of threads when they start (JAX), keep pools that go on spinning, or disturb one another's;
in processes of their own they cannot. A worker may use as many cores as it has threads, one hardware thread of
each, and sleeps at a pipe while others work.

`python bench/worker.py CONTESTANT WORK THREADS` answers when it is ready, and after that every line that it reads.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

# What the libraries read when they are loaded. NPROC is XLA's; one thread of XLA takes its flags too.
VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NPROC")
XLA_ONE_THREAD = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"


class Worker:
    """The side of the one who measures."""

    def __init__(self, contestant: str, work: str, n_threads: int) -> None:
        self.name = f"{contestant}, {work}, {n_threads} threads"
        self.process = subprocess.Popen([sys.executable, __file__, contestant, work, str(n_threads)], text=True,
                                        bufsize=1, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.process.kill()
        self.process.communicate()

    def answer(self) -> list[float]:
        """The first answer is the seconds of setting up and a first call."""
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name}: ended with status {self.process.wait()}")
        return [float(number) for number in line.split()]

    def call(self) -> list[float]:
        """Seconds of a call, by the wall and of the CPU."""
        self.process.stdin.write("\n")
        return self.answer()


def cores() -> list[int]:
    """The CPUs of this process; second hardware threads of a core come after all first ones."""
    def place(cpu: int) -> tuple[int, int]:
        try:
            siblings = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list").read_text()
        except OSError:
            return 0, cpu
        return siblings.replace("-", ",").strip().split(",").index(str(cpu)), cpu

    return sorted(os.sched_getaffinity(0), key=place)


def limit(n_threads: int) -> None:
    """Before any library is loaded."""
    os.sched_setaffinity(0, cores()[:n_threads])
    os.environ |= dict.fromkeys(VARIABLES, str(n_threads))
    if n_threads == 1:
        os.environ["XLA_FLAGS"] = XLA_ONE_THREAD


def serve(contestant: str, work: str, n_threads: int) -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    limit(n_threads)
    start = time.perf_counter()

    from common import BY_NAME, timed
    from contestants import CONTESTANTS

    call = CONTESTANTS[contestant].enter(BY_NAME[work], n_threads)
    call()
    print(time.perf_counter() - start, file=answers, flush=True)
    for _ in sys.stdin:
        print(*timed(call)(), file=answers, flush=True)


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2], int(sys.argv[3]))
