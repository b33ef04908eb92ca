"""Data sets and file readers: embedded digits, IDX, Fashion-MNIST, CSV, NPZ. Nothing here downloads."""

from __future__ import annotations

import csv
import gzip
import math
import os
import sys
import zipfile
import zlib
from array import array
from collections.abc import Iterable
from contextlib import suppress
from difflib import get_close_matches
from io import BufferedIOBase
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

import numpy as np

from fastnn.files import StrPath, check_path

__all__ = ["load_csv", "load_digits", "load_fashion_mnist", "load_idx", "load_npz", "read_idx"]

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Pair: TypeAlias = tuple[Array, Array]

FASHION_MNIST_ROOT = "/usr/share/datasets/fashion-mnist"
DIGITS_TRAIN_ROWS = 1437

GZIP_MAGIC = b"\x1f\x8b"
DEFLATE_MAX_RATIO = 1032  # 258 bytes from two bits: gzip cannot unpack to more than this times its size
MAX_RANK = 64  # NumPy's

# Type byte of the IDX header -> the (big-endian) NumPy type it names.
IDX_DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}

NPZ_X_NAMES = ("X", "x", "X_train", "x_train", "data")
NPZ_Y_NAMES = ("y", "y_train", "target", "labels")


def load_digits() -> tuple[Pair, Pair]:
    """Handwritten digits that come inside the package: 1,797 images of 8 x 8 pixels.

    The split is fixed: the first 1,437 images of the source file train, the last 360 test. The source keeps
    the images of one writer together, so most test images were written by people whose hand the training set
    does not contain; the test accuracy is lower (and more honest) than that of a shuffled split.

    Returns
    -------
    (x_train, y_train), (x_test, y_test)
        ``x``: uint8 (1437, 8, 8) and (360, 8, 8), values 0 to 16. ``y``: int64 (1437,) and (360,), classes 0
        to 9. New, writable arrays at every call.

    Notes
    -----
    The test set of "Optical Recognition of Handwritten Digits", E. Alpaydin and C. Kaynak (1998), UCI Machine
    Learning Repository, https://doi.org/10.24432/C50P49, licensed CC BY 4.0. Each pixel counts the set bits
    of a 4 x 4 block of a 32 x 32 bitmap.

    Examples
    --------
    >>> from fastnn.datasets import load_digits
    >>> (x_train, y_train), (x_test, y_test) = load_digits()
    >>> x_train.shape, x_test.shape, str(x_train.dtype), int(x_train.max())
    ((1437, 8, 8), (360, 8, 8), 'uint8', 16)
    >>> y_train[:5].tolist()
    [0, 1, 2, 3, 4]
    """
    with np.load(Path(__file__).with_name("data") / "digits.npz") as digits:
        x, y = digits["x"], digits["y"].astype(np.int64)
    cut = DIGITS_TRAIN_ROWS
    return (x[:cut].copy(), y[:cut].copy()), (x[cut:].copy(), y[cut:].copy())


def read_idx(path: StrPath) -> Array:
    """Read an IDX file (the format of MNIST), plain or gzip-compressed.

    The header is two zero bytes, a type byte, the number of dimensions, then each dimension as a big-endian
    32-bit unsigned integer; the values follow, big-endian, the last dimension fastest. Compression is
    recognised by content. The size that the header declares is checked against the file before anything is
    allocated.

    Parameters
    ----------
    path : str or path-like
        The file.

    Returns
    -------
    ndarray
        uint8, int8, int16, int32, float32 or float64 in native byte order, writable, of the declared shape.

    Raises
    ------
    FileNotFoundError
        The file does not exist.
    ValueError
        Wrong magic, type code or number of dimensions; declared size beyond what the file can hold; truncated
        or trailing data; damaged gzip stream.

    Examples
    --------
    >>> import os, tempfile
    >>> from fastnn.datasets import read_idx
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "labels-idx1-ubyte")
    ...     with open(path, "wb") as file:
    ...         _ = file.write(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 2, 1]))
    ...     read_idx(path)
    array([7, 2, 1], dtype=uint8)
    """
    check_path("path", path)
    with open(path, "rb") as file:
        packed = file.read(2) == GZIP_MAGIC
        file.seek(0)
        room = os.fstat(file.fileno()).st_size * (DEFLATE_MAX_RATIO if packed else 1)
        if not packed:
            return _read_idx_stream(file, room, path)
        try:
            with gzip.open(file) as unpacked:
                return _read_idx_stream(unpacked, room, path)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise ValueError(f"{os.fspath(path)}: damaged gzip stream ({error})") from error


def _read_idx_stream(file: BufferedIOBase, room: int, path: StrPath) -> Array:
    """`room`: the most bytes that the file can hold, unpacked."""

    def fail(problem: str) -> NoReturn:
        raise ValueError(f"{os.fspath(path)}: {problem}")

    magic = file.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0":
        fail(f"no IDX file: it starts with {magic.hex(' ') or 'nothing'}; allowed: 00 00, type, dimensions")
    if magic[2] not in IDX_DTYPES:
        fail(f"IDX type code 0x{magic[2]:02x}; allowed: {', '.join(f'0x{code:02x}' for code in IDX_DTYPES)}")
    rank = magic[3]
    if not 1 <= rank <= MAX_RANK:
        fail(f"IDX file of {rank} dimensions; allowed: 1 to {MAX_RANK}")
    sizes = file.read(4 * rank)
    if len(sizes) < 4 * rank:
        fail(f"truncated IDX header: {4 + len(sizes)} bytes; its {rank} dimensions need {4 + 4 * rank}")

    shape = tuple(int.from_bytes(sizes[i : i + 4], "big") for i in range(0, 4 * rank, 4))
    dtype = np.dtype(IDX_DTYPES[magic[2]])
    declared = f"shape {shape} of {dtype.name}"
    n_bytes = math.prod(shape) * dtype.itemsize
    room -= 4 + 4 * rank
    # NumPy multiplies the other sizes of an empty array too, hence the second test.
    if n_bytes > room or math.prod(max(size, 1) for size in shape) * dtype.itemsize > sys.maxsize:
        fail(f"the IDX header declares {declared}, {n_bytes} bytes; the file holds at most {room}")
    raw = np.empty(n_bytes, dtype=np.uint8)
    n_read = file.readinto(raw.data)
    if n_read < n_bytes:
        fail(f"truncated IDX data: {n_read} bytes; {declared} needs {n_bytes}")
    if file.read(1):
        fail(f"trailing data after the {n_bytes} bytes of {declared}")
    return raw.view(dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False)


def load_idx(root: StrPath) -> tuple[Pair, Pair]:
    """Read a folder with the four IDX files of an MNIST-like data set.

    Parameters
    ----------
    root : str or path-like
        Folder with ``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte``, ``t10k-images-idx3-ubyte`` and
        ``t10k-labels-idx1-ubyte``, each plain or with ``.gz``; ``.idx`` instead of ``-idx`` is found too.

    Returns
    -------
    (x_train, y_train), (x_test, y_test)
        ``x`` as stored, usually uint8 (n, height, width); ``y``: int64 (n,).

    Raises
    ------
    FileNotFoundError
        One of the files is missing.
    ValueError
        A file is damaged (see `read_idx`), labels are not a vector of integers, images and labels differ in
        number, or training and test images in shape.

    Examples
    --------
    >>> from fastnn.datasets import load_idx
    >>> (x_train, y_train), test = load_idx("/usr/share/datasets/fashion-mnist")  # doctest: +SKIP
    """
    train, test = (_load_idx_pair(Path(check_path("root", root)), part) for part in ("train", "t10k"))
    if train[0].shape[1:] != test[0].shape[1:]:
        shapes = train[0].shape[1:], test[0].shape[1:]
        raise ValueError(f"{root}: training images of shape {shapes[0]}, test images of {shapes[1]}")
    return train, test


def _load_idx_pair(root: Path, part: str) -> Pair:
    image_file, label_file = _find_idx(root, f"{part}-images", 3), _find_idx(root, f"{part}-labels", 1)
    x, y = read_idx(image_file), read_idx(label_file)
    if y.ndim != 1 or y.dtype.kind not in "iu":
        raise ValueError(f"{label_file}: labels of shape {y.shape}, {y.dtype}; allowed: a vector of integers")
    if len(x) != len(y):
        raise ValueError(f"{root}: {len(x)} images in {image_file.name}, {len(y)} in {label_file.name}")
    return x, y.astype(np.int64)


def _find_idx(root: Path, stem: str, rank: int) -> Path:
    names = [f"{stem}{mark}idx{rank}-ubyte{suffix}" for mark in "-." for suffix in ("", ".gz")]
    for name in names:
        if (root / name).is_file():
            return root / name
    raise FileNotFoundError(f"{root} has no file {names[0]} (nor {', '.join(names[1:])})")


def load_fashion_mnist(root: StrPath | None = None) -> tuple[Pair, Pair]:
    """Fashion-MNIST: 70,000 grey images of clothing, 28 x 28 pixels, ten classes.

    Reads the files of Debian's package ``dataset-fashion-mnist`` (``apt-get install dataset-fashion-mnist``),
    or the same four files in another folder. Nothing is downloaded.

    Parameters
    ----------
    root : str or path-like, optional
        Folder with the IDX files, plain or with ``.gz``. Default ``/usr/share/datasets/fashion-mnist``.

    Returns
    -------
    (x_train, y_train), (x_test, y_test)
        ``x``: uint8 (60000, 28, 28) and (10000, 28, 28). ``y``: int64 (60000,) and (10000,), classes 0 to 9:
        T-shirt, trouser, pullover, dress, coat, sandal, shirt, sneaker, bag, ankle boot.

    Raises
    ------
    FileNotFoundError
        The files are not there; the message says how to get them.
    ValueError
        A file is damaged (see `read_idx`).

    Notes
    -----
    H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning
    Algorithms", 2017, arXiv:1708.07747. MIT licence.

    Examples
    --------
    >>> from fastnn.datasets import load_fashion_mnist
    >>> (x_train, y_train), (x_test, y_test) = load_fashion_mnist()  # doctest: +SKIP
    """
    folder = FASHION_MNIST_ROOT if root is None else root
    try:
        return load_idx(folder)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"Fashion-MNIST: {error}. On Debian and Ubuntu: apt-get install dataset-fashion-mnist; elsewhere "
            "pass root=, a folder with the four IDX files of the data set"
        ) from error


def load_csv(
    path: StrPath, target: str | None = None, *, delimiter: str = ","
) -> tuple[Array, Array | None, list[str]]:
    """Read a table of numbers with a header line, one of whose columns may be the target.

    Parameters
    ----------
    path : str or path-like
        UTF-8 text (a byte order mark is skipped), plain or gzip-compressed. Fields may be quoted; empty lines
        are skipped.
    target : str, optional
        Name of the target column. Without it every column is a feature.
    delimiter : str, default ","
        One character between fields.

    Returns
    -------
    X : ndarray, float64 (n, d)
        All columns but the target, in the file's order.
    y : ndarray (n,) or None
        int64 if every target is an integer, float64 if every target is a number, str otherwise; None without
        `target`.
    feature_names : list of str
        Names of the columns of `X`.

    Raises
    ------
    FileNotFoundError
        The file does not exist.
    ValueError
        No header, no rows or no feature; names empty or repeated; no column `target` (a close name is
        suggested); a row of another length; a feature that is not a finite number, an empty target, or a
        target that mixes numbers and labels (with line and column); text that is not UTF-8.

    Examples
    --------
    >>> import os, tempfile
    >>> from fastnn.datasets import load_csv
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "iris.csv")
    ...     with open(path, "w") as file:
    ...         _ = file.write("length,width,species\\n5.1,3.5,setosa\\n6.2,2.9,versicolor\\n")
    ...     X, y, names = load_csv(path, "species")
    >>> X.tolist(), y.tolist(), names
    ([[5.1, 3.5], [6.2, 2.9]], ['setosa', 'versicolor'], ['length', 'width'])
    """
    check_path("path", path)
    with open(path, "rb") as file:
        packed = file.read(2) == GZIP_MAGIC
    opener = gzip.open if packed else open
    try:
        with opener(path, "rt", encoding="utf-8-sig", newline="") as text:
            return _parse_csv(text, os.fspath(path), target, delimiter)
    except UnicodeDecodeError as error:
        raise ValueError(f"{os.fspath(path)}: not UTF-8 text ({error})") from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{os.fspath(path)}: damaged gzip stream ({error})") from error


def _parse_csv(
    text: Iterable[str], path: str, target: str | None, delimiter: str
) -> tuple[Array, Array | None, list[str]]:
    reader = csv.reader(text, delimiter=delimiter, skipinitialspace=True, strict=True)
    try:
        names = [name.strip() for name in next(reader, [])]
        position = _check_header(names, path, target)
        features = [name for column, name in enumerate(names) if column != position]
        values, labels, lines = array("d"), [], array("q")
        for row in reader:
            if not row:
                continue
            if len(row) != len(names):
                raise ValueError(f"{path}, line {reader.line_num}: {len(row)} fields; allowed: {len(names)}")
            if position is not None:
                labels.append(row.pop(position).strip())
            lines.append(reader.line_num)
            values.extend(_parse_numbers(row, features, path, reader.line_num))
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: {error}") from error
    if not lines:
        raise ValueError(f"{path}: no row after the header; allowed: one or more")
    X = np.frombuffer(values, dtype=np.float64).reshape(len(lines), len(features))
    y = None if target is None else _convert_labels(labels, lines, path, target)
    return X, y, features


def _check_header(names: list[str], path: str, target: str | None) -> int | None:
    """Return the position of `target`."""
    if not any(names):
        raise ValueError(f"{path}: no header in line 1; allowed: column names")
    for column, name in enumerate(names):
        if not name:
            raise ValueError(f"{path}, line 1: the name of column {column + 1} is empty")
        if name in names[:column]:
            raise ValueError(f"{path}, line 1: column name {name!r} occurs twice; allowed: once")
    # Whole numbers may be pandas' default column names; "5.1, 3.5" is a row of a file without header.
    if all(_is_number(name) for name in names) and not all(name.isdecimal() for name in names):
        raise ValueError(f"{path}, line 1: only numbers ({names[0]}, ...); allowed: names of columns")
    if target is None:
        return None
    if target not in names:
        close = get_close_matches(target, names, n=1)
        hint = f"did you mean {close[0]!r}? Its" if close else "its"
        raise ValueError(f"{path}: no column {target!r}; {hint} columns: {_shorten(names)}")
    if len(names) == 1:
        raise ValueError(f"{path}: {target!r} is the only column; allowed: features besides the target")
    return names.index(target)


def _parse_numbers(row: list[str], features: list[str], path: str, line: int) -> array[float]:
    # A row at a time at C speed; field by field only to name the bad one. float() would read "1_2" as 12.
    with suppress(ValueError):
        numbers = array("d", map(float, row))
        if math.isfinite(sum(numbers)) and "_" not in "".join(row):
            return numbers
    for field, name in zip(row, features, strict=True):
        if not _is_number(field):
            raise ValueError(f"{path}, line {line}, column {name!r}: {quoted(field)}; allowed: a finite number. "
                             "Features must be complete numbers: encode columns of text, fill empty cells")
    return array("d", map(float, row))  # finite numbers whose sum is not


def _convert_labels(labels: list[str], lines: array[int], path: str, target: str) -> Array:
    numeric = _is_number(labels[0])
    for label, line in zip(labels, lines, strict=True):
        if not label or _is_number(label) != numeric:
            kind = "a finite number" if numeric else "a label that is not a number"
            raise ValueError(
                f"{path}, line {line}, column {target!r}: {quoted(label)}; allowed: {kind}, as in line {lines[0]}"
            )
    if not numeric:
        return np.array(labels, dtype=np.str_)
    try:
        return np.array([int(label) for label in labels], dtype=np.int64)
    except (ValueError, OverflowError):
        return np.array([float(label) for label in labels], dtype=np.float64)


def _is_number(field: str) -> bool:
    try:
        return math.isfinite(float(field)) and "_" not in field
    except ValueError:
        return False


def quoted(cell: str, most: int = 40) -> str:
    """A cell as messages show it, cut to `most` characters."""
    return repr(cell if len(cell) <= most else f"{cell[:most - 3]}...")


def _shorten(names: Iterable[str], most: int = 12) -> str:
    names = list(names)
    return ", ".join(names[:most]) + (f", ... ({len(names)} in all)" if len(names) > most else "")


def load_npz(path: StrPath, target: str | None = None) -> tuple[Array, Array | None]:
    """Read features and targets from an NPZ archive; pickled objects are refused.

    Parameters
    ----------
    path : str or path-like
        File written by `numpy.savez` or `numpy.savez_compressed`.
    target : str, optional
        Name of the array of targets. By default the first of ``y``, ``y_train``, ``target``, ``labels`` that
        is present.

    Returns
    -------
    X : ndarray (n, ...)
        The first of ``X``, ``x``, ``X_train``, ``x_train``, ``data`` that is present, as stored.
    y : ndarray (n, ...) or None
        The targets, as stored; None if `target` is None and the archive has none.

    Raises
    ------
    FileNotFoundError
        The file does not exist.
    ValueError
        Not an NPZ archive, damaged, or with object arrays; no array of features; no array `target` (a close
        name is suggested); features and targets of different length.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> from fastnn.datasets import load_npz
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "table.npz")
    ...     np.savez(path, X=np.zeros((5, 3), dtype=np.float32), y=np.arange(5))
    ...     X, y = load_npz(path)
    >>> X.shape, y.shape
    ((5, 3), (5,))
    """
    source = check_path("path", path)
    with open(path, "rb") as file:  # np.load answers a file that is no archive with a remark about pickles
        if not zipfile.is_zipfile(file):
            raise ValueError(f"{source}: not an NPZ archive, or a truncated one")
    try:
        with np.load(path, allow_pickle=False) as archive:
            x_name, y_name = _npz_names(archive.files, source, target)
            X = _npz_array(archive, x_name, source)
            y = None if y_name is None else _npz_array(archive, y_name, source)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise ValueError(f"{source}: damaged NPZ archive ({error})") from error
    if y is not None and len(X) != len(y):
        raise ValueError(f"{source}: {len(X)} rows in {x_name!r}, {len(y)} in {y_name!r}; allowed: as many")
    return X, y


def _npz_names(files: list[str], source: str, target: str | None) -> tuple[str, str | None]:
    if target is not None and target not in files:
        close = get_close_matches(target, files, n=1)
        hint = f"did you mean {close[0]!r}? Its" if close else "its"
        raise ValueError(f"{source}: no array {target!r}; {hint} arrays: {_shorten(files)}")
    x_name = next((name for name in NPZ_X_NAMES if name in files and name != target), None)
    if x_name is None:
        allowed = ", ".join(NPZ_X_NAMES)
        raise ValueError(f"{source}: no features; its arrays: {_shorten(files)}; allowed: {allowed}")
    return x_name, target or next((name for name in NPZ_Y_NAMES if name in files), None)


def _npz_array(archive: Any, name: str, source: str) -> Array:
    try:
        values = archive[name]
    except (ValueError, OverflowError, MemoryError) as error:  # objects; a header of absurd shape
        raise ValueError(f"{source}: array {name!r} cannot be read ({error})") from error
    if not isinstance(values, np.ndarray) or values.ndim == 0:
        raise ValueError(f"{source}: {name!r} is no array of rows")
    return values
