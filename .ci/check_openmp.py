"""Fails if a parallel region does not name its thread count, or if the process-wide count is set.

Usage: check_openmp.py FOLDER. A region without a count takes OpenMP's global one: it would ignore `n_threads`
and start threads in a forked child, where libgomp hangs.
"""

import re
import sys
from pathlib import Path

# By language: comments to skip, and the whole text of a region's opening.
C_RULES = r"//[^\n]*|/\*.*?\*/", r"#\s*pragma\s+omp\s+parallel\b(?:\\\n|[^\n])*"
CYTHON_RULES = r"#[^\n]*", r"(?<![\w.])(?:prange|parallel)\s*\((?:[^()]|\([^()]*\))*\)"
RULES = {".c": C_RULES, ".h": C_RULES, ".pyx": CYTHON_RULES, ".pxd": CYTHON_RULES}
GLOBAL_COUNT = r"omp_set_(?:num_threads|dynamic|nested|max_active_levels)\s*\("


def problems(path: Path) -> list[str]:
    comment, region = RULES[path.suffix]
    source = re.sub(comment, lambda match: re.sub(r"[^\n]", " ", match[0]), path.read_text(), flags=re.DOTALL)
    found = [match for match in re.finditer(region, source) if "num_threads" not in match[0]]
    found += re.finditer(GLOBAL_COUNT, source)
    lines = (1 + source.count("\n", 0, match.start()) for match in found)
    return [f"{path}:{line}: {match[0].splitlines()[0]}" for line, match in zip(lines, found, strict=True)]


files = sorted(path for path in Path(sys.argv[1]).rglob("*") if path.suffix in RULES)
if not files:
    sys.exit(f"{sys.argv[1]}: no C or Cython sources")
messages = [message for path in files for message in problems(path)]
if messages:
    sys.exit("\n".join(["parallel regions without a count of threads, or counts for all of them", *messages]))
print(f"{len(files)} sources: every parallel region names its thread count")
