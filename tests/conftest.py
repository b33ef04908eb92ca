"""The tests import the installed package, or the source folder where its modules were built in place."""

import os
import signal
import sys
from pathlib import Path

from hypothesis import settings

ROOT = Path(__file__).resolve().parents[1]

# `python -m pytest` puts the current folder first: without compiled modules it would hide the package.
if not any((ROOT / "fastnn" / "_kernels").glob("dispatch*.so")):
    sys.path[:] = [folder for folder in sys.path if Path(folder).resolve() != ROOT]

import fastnn  # noqa: E402

# The processes that tests start import the same package as this one, whatever their folder.
os.environ["PYTHONSAFEPATH"] = "1"
if Path(fastnn.__file__).parents[1] == ROOT:
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))

# A shell without job control has commands that it runs behind it ignore Ctrl-C, which tests send.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples at every run, and no time limit for one of them: machines differ.
settings.register_profile("fastnn", deadline=None, derandomize=True)
settings.load_profile("fastnn")
