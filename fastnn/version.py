"""The version of the installed package."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("fastnn")
except PackageNotFoundError:  # run from a source folder that is not installed
    __version__ = "0+unknown"
