"""A record and tensors in one safetensors file, checked on reading as if an enemy had written it.

The record is JSON, and the only entry of the header's metadata: the order in which safetensors writes several
entries changes from process to process, and the same model must give the same file. It ends with ``sha256``,
the checksum of the rest of the record and of the tensors' bytes in the order of their names.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

__all__ = ["Header", "Table", "brief", "encode", "read_header", "read_tensors"]

Array = NDArray[Any]
Table = dict[str, tuple[str, tuple[int, ...]]]  # dtype and shape of each tensor

RECORD, CHECKSUM = "fastnn", "sha256"
ENTRY = {"dtype", "shape", "data_offsets"}
# bool: masks; integers: positions of sparse weights, words of packed ones
DTYPES = {"F32": "float32", "F64": "float64", "BOOL": "bool", "I32": "int32", "I64": "int64", "U64": "uint64"}
# A header of 2 MiB describes 2,400 dense layers or names 100,000 features; parsed it takes 45 MB at worst.
MAX_HEADER = 2 << 20
MAX_RANK = 32
MAX_COUNT = 2**63 - 1


def encode(record: Mapping[str, Any], tensors: Mapping[str, Array]) -> bytes:
    """The file's content; TypeError or ValueError where JSON cannot hold the record."""
    contiguous = {name: np.asarray(tensor, order="C") for name, tensor in tensors.items()}
    signed = {**record, CHECKSUM: _checksum(_to_json(record), contiguous)}
    data = safetensors.numpy.save(contiguous, {RECORD: _to_json(signed)})
    if (length := _header_length(data)) > MAX_HEADER:
        raise ValueError(f"configuration and metadata take {length} bytes; {MAX_HEADER} are allowed")
    return data


@dataclass(frozen=True)
class Header:
    """What is known of a file before its tensors are read: nothing of their size was allocated.

    Attributes
    ----------
    record : dict
        Without its checksum.
    table : dict of str to (str, tuple of int)
        NumPy's dtype and the shape of each tensor.
    """

    record: dict[str, Any]
    table: Table
    text: str  # the record's, to be signed
    checksum: Any
    head: bytes
    file_size: int


def read_header(file: BinaryIO) -> Header:
    """The checked header of a file; ValueError says what is wrong with it."""
    size = os.fstat(file.fileno()).st_size
    head = _read_head(file, size)
    entries = _from_json(head[8:].decode("utf-8"), "header")
    record = _checked_record(entries.pop("__metadata__", None))
    checksum = record.pop(CHECKSUM, None)
    return Header(record, _checked_table(entries, size - len(head)), _to_json(record), checksum, head, size)


def read_tensors(file: BinaryIO, header: Header) -> dict[str, Array]:
    """All tensors, if they and the record have the checksum that they were written with."""
    file.seek(0)
    data = file.read(header.file_size)
    if len(data) != header.file_size or file.read(1) or not data.startswith(header.head):
        raise ValueError("the file changed while it was read")
    try:
        tensors = safetensors.numpy.load(data)
    except safetensors.SafetensorError as error:
        raise ValueError(f"damaged: {error}") from error
    if _checksum(header.text, tensors) != header.checksum:
        raise ValueError("damaged: its content does not have the checksum that it was written with")
    return tensors


def _checksum(text: str, tensors: Mapping[str, Array]) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        digest.update(tensors[name].reshape(-1).data)
    return digest.hexdigest()


def _header_length(data: bytes) -> int:
    (length,) = struct.unpack_from("<Q", data)
    return int(length)


def _read_head(file: BinaryIO, size: int) -> bytes:
    """The first 8 bytes and the header that they give the length of."""
    start = file.read(8)
    if len(start) < 8:
        raise ValueError(f"not a safetensors file, or a truncated one: {size} bytes; at least 8 are needed")
    length = _header_length(start)
    if length > MAX_HEADER:
        raise ValueError(f"not a model file: a header of {length} bytes; {MAX_HEADER} are allowed")
    if length > size - 8:
        raise ValueError(f"truncated: a header of {length} bytes, but {size - 8} bytes follow")
    head = start + file.read(length)
    if len(head) != 8 + length or head[8:9] != b"{":
        raise ValueError("not a safetensors file: its header does not begin with '{'")
    return head


def _checked_record(metadata: Any) -> dict[str, Any]:
    text = metadata.get(RECORD) if isinstance(metadata, dict) else None
    if not isinstance(text, str):
        raise ValueError(f"not a model of fastnn: its metadata has no string {RECORD!r}")
    if len(metadata) > 1:
        raise ValueError(f"metadata {brief(sorted(metadata))}; {RECORD!r} alone is allowed")
    record = _from_json(text, "record")
    if _to_json(record) != text:  # or a bit could flip where JSON has two spellings for one value
        raise ValueError("damaged: its record is not spelt as it was written")
    return record


def _checked_table(entries: dict[str, Any], data_size: int) -> Table:
    """The table of tensors that cover the data exactly, in any order."""
    table, spans = {}, []
    for name, entry in entries.items():
        what = f"tensor {brief(name)}"
        if not isinstance(entry, dict) or entry.keys() != ENTRY:
            raise ValueError(f"{what} is described by {brief(entry)}; {sorted(ENTRY)} are allowed")
        dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
        if not isinstance(dtype, str) or dtype not in DTYPES:
            raise ValueError(f"{what} has dtype {brief(dtype)}; {', '.join(DTYPES)} are allowed")
        if not _are_counts(shape) or len(shape) > MAX_RANK:
            raise ValueError(f"{what} has shape {brief(shape)}; up to {MAX_RANK} integers >= 0 are allowed")
        if not _are_counts(offsets) or len(offsets) != 2:
            raise ValueError(f"{what} has data_offsets {brief(offsets)}; two integers >= 0 are allowed")
        needed = math.prod(shape) * np.dtype(DTYPES[dtype]).itemsize
        if offsets[1] - offsets[0] != needed:
            raise ValueError(f"{what}: shape {brief(shape)} of {dtype} takes {brief(needed)} bytes; "
                             f"its data_offsets are {offsets}")
        table[name] = DTYPES[dtype], tuple(shape)
        spans.append((*offsets, name))
    _check_cover(sorted(spans), data_size)
    return table


def _check_cover(spans: list[tuple[int, int, str]], data_size: int) -> None:
    end = 0
    for start, stop, name in spans:
        if start != end:
            raise ValueError(f"tensor {brief(name)} begins at byte {start} of the data; {end} is allowed, "
                             "where the one before it ends")
        end = stop
    if end != data_size:
        raise ValueError(f"truncated or overlong: its tensors take {end} bytes; the file holds {data_size}")


def _are_counts(value: Any) -> bool:
    return isinstance(value, list) and all(type(item) is int and 0 <= item <= MAX_COUNT for item in value)


def _to_json(value: Any) -> str:
    def plain(thing: Any) -> Any:
        if isinstance(thing, np.generic):
            return thing.item()
        raise TypeError(f"a configuration must be made of what JSON can hold; received {thing!r}")

    return json.dumps(value, allow_nan=False, ensure_ascii=False, default=plain)


def _from_json(text: str, what: str) -> dict[str, Any]:
    """The object that `text` holds: no name twice in an object, no NaN, no half characters."""

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(items)
        if len(found) != len(items):
            names = [name for name, _ in items]
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"name {brief(twice)} occurs twice; once is allowed")
        return found

    def constant(name: str) -> Any:
        raise ValueError(f"{name} is not allowed")

    try:
        value = json.loads(text, object_pairs_hook=pairs, parse_constant=constant)
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except (ValueError, RecursionError) as error:
        raise ValueError(f"its {what} is not allowed JSON: {error}") from error
    if not isinstance(value, dict):
        raise ValueError(f"its {what} is a JSON {type(value).__name__}; an object is allowed")
    return value


def brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
