"""What a benchmark finds, printed as Markdown while it runs, and kept as files."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from common import machine


class Report:
    """Lines of Markdown and measured results.

    Parameters
    ----------
    title : str
        Names the marks ``<!-- title: begin -->`` and ``<!-- title: end -->`` of a file that the report is written
        between.
    """

    def __init__(self, title: str) -> None:
        self.title, self.lines, self.results, self.machine = title, [], [], machine()

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--rounds", type=int, default=7)
        parser.add_argument("--json", metavar="FILE", type=Path, help="write every measured time there")
        parser.add_argument("--write", metavar="FILE", type=Path, help="put the report between its marks")

    def say(self, line: str) -> None:
        self.lines.append(line)
        print(line, flush=True)

    def head(self, what: str) -> None:
        """The command, what its figures are, and the machine."""
        command = shlex.join(["python", f"bench/{Path(sys.argv[0]).name}", *sys.argv[1:]])
        self.say(f"Made by `{command}`:\n{what}\n")
        for key, value in self.machine.items():
            self.say(f"- {key}: {value}")

    def table(self, columns: Sequence[str]) -> None:
        self.say("")
        self.row(columns)
        self.row(["---"] * len(columns))

    def row(self, cells: Sequence[str]) -> None:
        self.say(f"| {' | '.join(cells)} |")

    def finish(self, args: argparse.Namespace) -> None:
        if args.json:
            args.json.write_text(json.dumps({"machine": self.machine, "results": self.results}, indent=1) + "\n")
        if args.write:
            begin, end = f"<!-- {self.title}: begin -->", f"<!-- {self.title}: end -->"
            before, rest = args.write.read_text(encoding="utf-8").split(begin)
            text = "\n".join(self.lines)
            args.write.write_text(f"{before}{begin}\n{text}\n{end}{rest.split(end)[1]}", encoding="utf-8")
