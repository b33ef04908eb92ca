"""Files that are replaced in one step: whatever happens, the whole old or the whole new one."""

from __future__ import annotations

import errno
import os
import re
import stat
from contextlib import suppress
from typing import Any

try:
    import fcntl
except ImportError:  # Windows: without its locks a stray cannot be told from a file being written
    fcntl = None  # type: ignore[assignment]

__all__ = ["StrPath", "check_output", "check_path", "write_file"]

StrPath = str | os.PathLike[str]


def check_path(name: str, value: Any) -> str:
    """A path that is no empty string; neither bytes nor, as `open` would take it, the number of an open file."""
    try:
        path = os.fspath(value)
    except TypeError:
        path = None
    if not isinstance(path, str):
        raise TypeError(f"{name} must be a path, as a string or path-like; received {value!r}")
    if not path or "\0" in path:
        raise ValueError(f"{name} must be a path that is not empty, without zero bytes; received {value!r}")
    return path


def check_output(path: str, what: str) -> None:
    """Refuse what could not be written before time goes into the work."""
    with suppress(FileNotFoundError, NotADirectoryError):
        os.stat(path)   # a name may be too long
    folder = os.path.dirname(os.path.realpath(path))
    if not os.path.isdir(folder):
        raise FileNotFoundError(2, "no such folder", folder)
    if os.path.exists(path) and not os.path.isfile(path):
        raise ValueError(f"{path}: not a regular file; the {what} cannot be saved there")
    if not os.access(folder, os.W_OK):
        raise PermissionError(13, "the folder cannot be written", folder)


def write_file(path: StrPath, data: bytes) -> None:
    """Create or replace the file at `path` in one step, durably.

    The bytes are written beside `path` under a temporary name, forced to disk and renamed. A symbolic link is
    followed, an existing file's mode kept. An OSError leaves what was at `path` unharmed.
    """
    target = os.path.realpath(path)
    folder, name = os.path.split(target)
    mode = _mode(target)
    _remove_strays(folder, name)
    temporary = os.path.join(folder, temporary_name(name, os.urandom(8).hex()))
    try:
        with open(temporary, "xb") as file:
            _lock(file.fileno())
            if mode is not None and hasattr(os, "fchmod"):
                os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            if fcntl is None:
                file.close()  # Windows renames no open file
            os.replace(temporary, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    if hasattr(os, "O_DIRECTORY"):
        _sync_folder(folder)


def temporary_name(name: str, token: str) -> str:
    return f".{name[:60]}.{token}.fastnn-tmp"


def _mode(target: str) -> int | None:
    """Permissions of an existing file; a rename must not put a file in the place of anything else."""
    try:
        found = os.stat(target).st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(found):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), target)
    if not stat.S_ISREG(found):
        raise OSError(errno.EINVAL, "not a regular file", target)
    return stat.S_IMODE(found)


def _lock(descriptor: int) -> None:
    if fcntl is not None:
        with suppress(OSError):  # file systems without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _remove_strays(folder: str, name: str) -> None:
    """Remove what killed processes left behind; a file still being written is locked by its writer."""
    if fcntl is None:
        return
    pattern = re.compile(re.escape(temporary_name(name, "@")).replace("@", "[0-9a-f]{16}"))
    with suppress(PermissionError):
        for entry in filter(pattern.fullmatch, os.listdir(folder)):
            stray = os.path.join(folder, entry)
            with suppress(OSError), open(stray, "rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(stray)


def _sync_folder(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
