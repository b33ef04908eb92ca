"""Fails if a wheel holds sources or tests, lacks what it should hold, or is larger than 5 MB installed.

Usage: check_wheel.py WHEEL
"""

import sys
import zipfile
from pathlib import PurePosixPath

MOST_BYTES = 5_000_000
FORBIDDEN_SUFFIXES = {".c", ".h", ".pyx", ".pxd", ".o", ".a", ".html"}
FORBIDDEN_FOLDERS = {"tests", "bench", "docs", "examples", "csrc", ".ci"}
REQUIRED = {"fastnn/__init__.py", "fastnn/py.typed"} | {
    f"fastnn/data/{name}" for name in ("digits.npz", "digits-licence.txt")
}

with zipfile.ZipFile(sys.argv[1]) as wheel:
    sizes = {info.filename: info.file_size for info in wheel.infolist()}
paths = [PurePosixPath(name) for name in sizes]

modules = {path.parent / path.name.split(".")[0] for path in paths if path.suffix in (".so", ".pyd")}
stubs = {path.with_suffix("") for path in paths if path.suffix == ".pyi"}
problems = [
    *(f"does not belong there: {path}" for path in paths
      if path.suffix in FORBIDDEN_SUFFIXES or FORBIDDEN_FOLDERS & set(path.parts)),
    *(f"missing: {name}" for name in sorted(REQUIRED - set(sizes))),
    *(f"compiled module without type stub: {module}" for module in sorted(modules - stubs)),
]  # fmt: skip
if not modules:
    problems.append("no compiled module")
if sum(sizes.values()) > MOST_BYTES:
    problems.append(f"{sum(sizes.values())} bytes installed; allowed: {MOST_BYTES}")

for name, size in sorted(sizes.items(), key=lambda item: -item[1])[:8]:
    print(f"{size:>9}  {name}")
print(f"{sum(sizes.values()):>9}  installed, {len(sizes)} files")
if problems:
    sys.exit("\n".join(problems))
