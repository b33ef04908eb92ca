"""Prints the README's speed table as Markdown.

python bench/speed_table.py [--works NAME ...] [--threads 1 2] [--rounds 7] [--json FILE] [--write README.md]

Rounds are epochs. In each round all contestants run once, each round beginning with another one; figures are
medians. fastnn runs on the number of threads given; the others run on every power of two up to it, and the
best of their medians counts. The last column compares with the rate of multiply-adds that the same cores
reach at that moment, measured just before each work.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from pathlib import Path

from common import THREADS, interleaved, limited_threads, machine, median, peak_gflops
from contestants import CONTESTANTS, flops

from fastnn.works import WORKS, Work, thread_counts

BEGIN, END = "<!-- speed table: begin -->", "<!-- speed table: end -->"


def measure(work: Work, n_threads: int, rounds: int) -> dict[str, object]:
    """Seconds a step of every contestant, round by round, by its number of threads; and the peak before."""
    peak = peak_gflops(n_threads)
    epochs = {}
    for name, enter in CONTESTANTS.items():
        for n in [n_threads] if name == "fastnn" else thread_counts(n_threads):
            with limited_threads(n):
                epochs[name, n] = enter(work, n)
    seconds: dict[str, dict[int, list[float]]] = {name: {} for name in CONTESTANTS}
    for (name, n), times in interleaved(epochs, rounds).items():
        seconds[name][n] = [time / work.steps for time in times]
    return {"work": work.name, "batch": work.batch, "threads": n_threads, "flops": flops(work),
            "peak_gflops": peak, "seconds_per_step": seconds}


def figure(seconds: float) -> str:
    """As milliseconds from 10 ms on, else as microseconds."""
    return f"{seconds * 1e3:.0f} ms" if seconds >= 0.01 else f"{seconds * 1e6:.0f} us"


def row(result: dict) -> str:
    medians = {name: min(map(median, of.values())) for name, of in result["seconds_per_step"].items()}
    ours = medians.pop("fastnn")
    rate = result["flops"] / ours / 1e9
    part = f"{rate / result['peak_gflops']:.0%}" if result["peak_gflops"] else "-"
    cells = [f"{result['work']}, batch {result['batch']}", str(result["threads"]), f"**{figure(ours)}**",
             *map(figure, medians.values()), f"{min(medians.values()) / ours:.1f}x", part]
    return f"| {' | '.join(cells)} |"


def write(path: Path, table: str) -> None:
    """Replaces what stands between the marks in `path`."""
    before, rest = path.read_text(encoding="utf-8").split(BEGIN)
    path.write_text(f"{before}{BEGIN}\n{table}\n{END}{rest.split(END)[1]}", encoding="utf-8")


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    names = [work.name for work in WORKS]
    parser.add_argument("--works", nargs="+", choices=names, default=names, metavar="NAME")
    parser.add_argument("--threads", nargs="+", type=int, default=THREADS)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", metavar="FILE", help="write every measured time there")
    parser.add_argument("--write", metavar="FILE", type=Path, help="put the table between its marks")
    args = parser.parse_args()

    facts, lines = machine(), []

    def say(line: str) -> None:
        lines.append(line)
        print(line, flush=True)

    command = shlex.join(["python", "bench/speed_table.py", *sys.argv[1:]])
    say(f"Made by `{command}`:\nforward, backward and Adam on one batch, float32, ReLU and softmax; "
        "medians of epochs that took turns. The others have their best number of threads up to that given.\n")
    for key, value in facts.items():
        say(f"- {key}: {value}")
    say(f"\n| network | threads | {' | '.join(CONTESTANTS)} | to the best other | of the FMA peak |")
    say(f"|---|---|{'---|' * len(CONTESTANTS)}---|---|")
    results = []
    for work in (work for work in WORKS if work.name in args.works):
        for n_threads in args.threads:
            results.append(measure(work, n_threads, 3 if work.large else args.rounds))
            say(row(results[-1]))
    if args.write:
        write(args.write, "\n".join(lines))
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump({"machine": facts, "results": results}, file, indent=1)


if __name__ == "__main__":
    main()
