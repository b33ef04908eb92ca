"""How the time of a step falls with the number of threads.

python bench/scaling.py [--works NAME ...] [--threads 1 2 4 ...] [--rounds 7] [--json FILE] [--write FILE]

All numbers of threads take turns. Threads meet twice in a training step: half of what it takes beyond its share of the
time on one thread is an upper bound of a meeting's cost, since unequal shares and what does not divide are in it too.
Where the engine finds a work too small for so many threads, fewer cores are busy.
"""

from __future__ import annotations

import argparse
import os
from statistics import median

from common import BY_NAME, duration, interleaved, timed
from contestants import CONTESTANTS
from report import Report

from fastnn.works import Work, thread_counts


def measure(work: Work, threads: list[int], rounds: int) -> dict:
    """Seconds of a step, round by round, and busy cores, of each number of threads."""
    found = interleaved({n: timed(CONTESTANTS["fastnn"].enter(work, n)) for n in threads}, rounds)
    steps = work.steps * work.epochs
    times = [{"threads": n, "seconds_per_step": [wall / steps for wall, _ in pairs],
              "cores": median(cpu / wall for wall, cpu in pairs)} for n, pairs in found.items()]
    return {"work": work.name, "label": work.label, "times": times}


def rows(result: dict) -> list[list[str]]:
    """Of the table; compared with one thread where that was measured."""
    alone = next((median(row["seconds_per_step"]) for row in result["times"] if row["threads"] == 1), None)
    table = []
    for row in result["times"]:
        n, t = row["threads"], median(row["seconds_per_step"])
        compared = [f"{alone / t:.2f}", f"{alone / t / n:.0%}"] if alone else ["-", "-"]
        meeting = f"{(t - alone / n) / 2 * 1e6:.1f} us" if alone and n > 1 else "-"
        table.append([result["label"], str(n), duration(row["seconds_per_step"]), *compared, f"{row['cores']:.1f}",
                      meeting])
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--works", nargs="+", choices=BY_NAME, default=list(BY_NAME), metavar="NAME")
    parser.add_argument("--threads", nargs="+", type=int, default=thread_counts(len(os.sched_getaffinity(0))))
    Report.add_arguments(parser)
    args = parser.parse_args()

    report = Report("scaling")
    report.head("time of a step, median and (minimum) of rounds in which all numbers of threads took turns.")
    report.table(["work", "threads", "step", "speedup", "efficiency", "busy cores", "lost a meeting"])
    for work in map(BY_NAME.get, args.works):
        report.results.append(measure(work, args.threads, args.rounds))
        for cells in rows(report.results[-1]):
            report.row(cells)
    report.finish(args)


if __name__ == "__main__":
    main()
