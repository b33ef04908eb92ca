"""fastnn beside its NumPy reference, scikit-learn, torch, torch.compile and JAX.

python bench/peers.py [--works NAME ...] [--contestants NAME ...] [--threads 1 2] [--rounds 7]
                      [--json FILE] [--write README.md]

Every contestant works in a process of its own for each number of threads (`worker.py`). In each round all of them run
once, in turns. Times are those of a step, median over the rounds and in brackets the minimum. fastnn runs on the
number of threads given, the others on the best of those up to it. The last column compares with the rate of
multiply-adds that the same cores reach at that moment, measured just before each work. All works take about ten
minutes. In the JSON file stand all times, those of setting up (torch.compile and JAX compile then), and how many cores
were busy: about one with two threads means that Linux left both on one core, and that the machine was not quiet.
"""

from __future__ import annotations

import argparse
import contextlib
from statistics import median

from common import BY_NAME, THREADS, duration, interleaved
from contestants import CONTESTANTS
from peak import peak_gflops
from report import Report
from worker import Worker

from fastnn.works import Work

COLUMNS = ("of them best", "fastnn is faster by", "of the FMA peak")


def measure(work: Work, names: list[str], threads: list[int], rounds: int) -> dict:
    """Seconds of a step, round by round, of every contestant that takes this work."""
    peaks = {n: peak_gflops(n) for n in threads}
    entries = [(name, n) for name in names if CONTESTANTS[name].takes(work) for n in threads]
    with contextlib.ExitStack() as stack:
        workers = {entry: stack.enter_context(Worker(entry[0], work.name, entry[1])) for entry in entries}
        setups = {entry: worker.answer()[0] for entry, worker in workers.items()}
        found = interleaved({entry: worker.call for entry, worker in workers.items()}, rounds)
    steps = work.steps * work.epochs
    times = [{"contestant": name, "threads": n, "setup_seconds": setups[name, n],
              "seconds_per_step": [wall / steps for wall, _ in found[name, n]],
              "cores": median(cpu / wall for wall, cpu in found[name, n])} for name, n in entries]
    return {"work": work.name, "label": work.label, "flops": work.flops, "peak_gflops": peaks, "times": times}


def best(result: dict, name: str, threads: range) -> list[float] | None:
    """The times of a contestant on those of `threads` where their median is least."""
    rows = [row for row in result["times"] if row["contestant"] == name and row["threads"] in threads]
    return min((row["seconds_per_step"] for row in rows), key=median, default=None)


def cells(result: dict, names: list[str], n_threads: int) -> list[str]:
    """A row of the table."""
    times = {name: best(result, name, range(n_threads if name == "fastnn" else 1, n_threads + 1)) for name in names}
    shown = {name: duration(t) if t else "-" for name, t in times.items()}
    medians = {name: median(t) for name, t in times.items() if t}
    comparison = ["-"] * 3
    if ours := medians.pop("fastnn", None):
        shown["fastnn"] = f"**{shown['fastnn']}**"
        if medians:
            rival = min(medians, key=medians.__getitem__)
            comparison[:2] = rival, f"{medians[rival] / ours:.2f}x"
        if result["flops"] and (peak := result["peak_gflops"][n_threads]):
            comparison[2] = f"{result['flops'] / ours / 1e9 / peak:.0%}"
    return [result["label"], str(n_threads), *shown.values(), *comparison]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--works", nargs="+", choices=BY_NAME, default=list(BY_NAME), metavar="NAME")
    parser.add_argument("--contestants", nargs="+", choices=CONTESTANTS, default=list(CONTESTANTS), metavar="NAME")
    parser.add_argument("--threads", nargs="+", type=int, default=THREADS)
    Report.add_arguments(parser)
    args = parser.parse_args()

    missing = {name: lacks for name in args.contestants if (lacks := CONTESTANTS[name].lacks())}
    names = [name for name in args.contestants if name not in missing]
    report = Report("speed table")
    report.head("time of a step in float32, median and (minimum) of rounds in which all took turns. "
                "The others have their best number of threads up to that given.")
    for name, lacks in missing.items():
        report.say(f"- left out: {name}, which needs {lacks} (`pip install '.[peers]'` installs all libraries)")
    report.table(["work", "threads", *names, *COLUMNS])
    for work in map(BY_NAME.get, args.works):
        report.results.append(measure(work, names, args.threads, 3 if work.large else args.rounds))
        for n in args.threads:
            report.row(cells(report.results[-1], names, n))
    report.finish(args)


if __name__ == "__main__":
    main()
