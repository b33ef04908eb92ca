"""Streams: data that come in chunks, from a function or an iterable, and are never in memory as a whole.

A thread reads chunks ahead and packs their rows into buffers of a fixed number of rows, which the engine takes one
after another. Where a chunk ends means nothing: batches are those of the concatenated chunks.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.inputs import as_array, check_count
from fastnn.sparse_inputs import Csr, as_csr, is_sparse, joined

__all__ = ["Reader", "Readers", "Stream", "as_stream"]

Array = NDArray[Any]

BUFFER_BYTES = 32 << 20     # of x in one buffer, unless a stream says how many rows
CLOSING_SECONDS = 5.0       # how long the end of a call waits for a read that is under way

PARTS = ("x", "y", "sample_weight")


class Stream:
    """Chunks of samples, with the choice of a buffer.

    `fit`, `evaluate` and `predict` take functions and iterables as they are; this class is for those who want other
    buffers.

    Parameters
    ----------
    source : callable or iterable
        A function that returns an iterable of chunks, called once an epoch; or an iterable, which is gone through once
        an epoch. A chunk is a tuple or list ``(x, y)`` or ``(x, y, sample_weight)`` of any number of rows; for
        `predict` x alone will do, as an array or in a tuple. x may be sparse, in all chunks then.
    buffer_rows : int, optional
        Rows that are read before they are trained on, rounded up to whole batches; with ``shuffle=True`` they are
        shuffled among themselves. By default as many as have 32 MiB of x.
    read_ahead : int, default 1
        Buffers that a thread fills while another one is trained on; 0 reads without a thread, between steps.

    Raises
    ------
    TypeError, ValueError
        For an argument of another type or out of its range.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn as fnn
    >>> def chunks():
    ...     for seed in range(5):
    ...         x = np.random.default_rng(seed).normal(size=(100, 3))
    ...         yield x, x.sum(axis=1)
    >>> model = fnn.Sequential([fnn.layers.Dense(1)], seed=0)
    >>> model.compile(fnn.optimizers.SGD(0.1), "mse")
    >>> history = model.fit(fnn.Stream(chunks, buffer_rows=256), epochs=3, shuffle=False, verbose=0)
    >>> model.evaluate(chunks) < 1e-3
    True
    """

    def __init__(self, source: Callable[[], Iterable[Any]] | Iterable[Any], buffer_rows: int | None = None,
                 read_ahead: int = 1) -> None:
        if not callable(source) and not hasattr(source, "__iter__"):
            raise TypeError(f"a stream needs a function that returns an iterable, or an iterable; received {source!r}")
        self.source = source
        self.buffer_rows = None if buffer_rows is None else check_count("buffer_rows", buffer_rows)
        self.read_ahead = check_count("read_ahead", read_ahead, low=0)

    @property
    def once(self) -> bool:
        """Whether the stream can be read only once: iterators and generators."""
        return hasattr(self.source, "__next__")

    def open(self) -> tuple[Iterator[Any], bool]:
        """An iterator over the chunks of an epoch, and whether it belongs to this call alone."""
        found = self.source() if callable(self.source) else self.source
        if not hasattr(found, "__iter__"):
            raise TypeError(f"the function of a stream must return an iterable of chunks; received {found!r}")
        iterator = iter(found)
        return iterator, iterator is not self.source

    def __repr__(self) -> str:
        return f"Stream({self.source!r}, buffer_rows={self.buffer_rows}, read_ahead={self.read_ahead})"


def as_stream(x: Any, chunks_are_tuples: bool = True) -> Stream | None:
    """A stream, if `x` is one rather than an array; a list is one if it holds tuples, as chunks of fit are."""
    if isinstance(x, Stream):
        return x
    arrays = ("__array__", "__array_interface__", "to_numpy", "tocsr")
    if isinstance(x, (type(None), str, bytes, Mapping)) or any(hasattr(x, name) for name in arrays):
        return None
    if hasattr(x, "__getitem__") and hasattr(x, "__len__") and not callable(x):
        tuples = isinstance(x, list) and bool(x) and all(isinstance(chunk, tuple) for chunk in x)
        return Stream(x) if chunks_are_tuples and tuples else None
    return Stream(x) if callable(x) or hasattr(x, "__iter__") else None


# ---- chunks into buffers -------------------------------------------------------------------------------------


def checked_chunks(chunks: Iterable[Any], needs_targets: bool) -> Iterator[list[Any]]:
    """Chunks as lists of arrays of equal length: x, y and weights, or x alone; all of them like the first one."""
    first: list[Any] = []
    for number, chunk in enumerate(chunks, 1):
        values = list(chunk) if isinstance(chunk, (tuple, list)) else [chunk]
        if not (2 if needs_targets else 1) <= len(values) <= 3:
            wanted = "(x, y) or (x, y, sample_weight)" if needs_targets else "x, (x,), (x, y) or (x, y, sample_weight)"
            raise ValueError(f"chunk {number} of the stream must be {wanted}; received {_brief(chunk)}")
        if not needs_targets:
            values = values[:1]
        elif values[-1] is None and len(values) == 3:
            values.pop()
        arrays = [_rows(value, part, number) for part, value in zip(PARTS, values, strict=False)]
        _check_chunk(arrays, first, number)
        if not len(arrays[0]):
            continue
        first = first or [array[:0] for array in arrays]
        yield [array if isinstance(array, Csr) else array.reshape(len(array), *like.shape[1:])
               for array, like in zip(arrays, first, strict=True)]


def _rows(value: Any, part: str, number: int) -> Any:
    name = f"{part} of chunk {number}"
    if part == "x" and is_sparse(value):
        return as_csr(value, name) if value.shape[:1] != (0,) else as_array(np.empty(value.shape), name)
    return as_array(value, name)


def _check_chunk(arrays: Sequence[Array], first: Sequence[Array], number: int) -> None:
    """Refuse a chunk whose parts do not fit together, or not to the first chunk."""
    x = arrays[0]
    if x.ndim < 2:
        raise ValueError(f"x of chunk {number} must have at least two dimensions, (samples, features); received shape "
                         f"{x.shape}")
    for part, array in zip(PARTS, arrays, strict=False):
        if array.ndim == 0 or len(array) != len(x):
            raise ValueError(f"x of chunk {number} has {len(x)} samples, but {part} has shape {array.shape}")
    if not first or not len(x):
        return
    if len(arrays) != len(first):
        raise ValueError(f"chunk {number} has {', '.join(PARTS[:len(arrays)])}; the chunks before had "
                         f"{', '.join(PARTS[:len(first)])}")
    if isinstance(x, Csr) != isinstance(first[0], Csr):
        kinds = ("dense", "sparse") if isinstance(x, Csr) else ("sparse", "dense")
        raise ValueError(f"x of chunk {number} is {kinds[1]}; those of the chunks before were {kinds[0]}")
    for part, array, like in zip(PARTS, arrays, first, strict=False):
        column = part != "x" and (like.shape[1:], array.shape[1:]) in (((), (1,)), ((1,), ()))
        if array.shape[1:] != like.shape[1:] and not column:
            raise ValueError(f"{part} of chunk {number} has rows of shape {array.shape[1:]}; those of the chunks "
                             f"before had {like.shape[1:]}")


def _brief(chunk: Any) -> str:
    return f"a {type(chunk).__name__}" + (f" of {len(chunk)}" if isinstance(chunk, (tuple, list)) else "")


def buffered(chunks: Iterable[list[Any]], rows: int | None, multiple: int) -> Iterator[list[Any]]:
    """The rows of all chunks in buffers of a fixed number of rows, a multiple of `multiple`; the last one is shorter.

    Rows are copied: whoever makes chunks may use their memory again.
    """
    buffers: list[Any] = []
    size = filled = 0
    for arrays in chunks:
        n = len(arrays[0])
        if not size:
            wanted = rows or max(1, BUFFER_BYTES * n // max(1, arrays[0].nbytes))
            size = -(-wanted // multiple) * multiple if rows else max(1, wanted // multiple) * multiple
        start = 0
        while start < n:
            if not buffers:
                buffers, filled = [CsrBuffer() if isinstance(array, Csr) else ArrayBuffer(array, size)
                                   for array in arrays], 0
            take = min(size - filled, n - start)
            for buffer, array in zip(buffers, arrays, strict=True):
                buffer.add(array[start:start + take])
            filled, start = filled + take, start + take
            if filled == size:
                whole, buffers = [buffer.rows() for buffer in buffers], []
                yield whole
                del whole       # what has been handed on must not stay here
        del arrays
    if buffers:
        yield [buffer.rows() for buffer in buffers]


class ArrayBuffer:
    """Room for `size` rows like those of an array."""

    def __init__(self, like: Array, size: int) -> None:
        self.memory, self.filled = np.empty((size, *like.shape[1:]), like.dtype), 0

    def add(self, rows: Array) -> None:
        if not np.can_cast(rows.dtype, self.memory.dtype):
            self.memory = self.memory.astype(np.promote_types(rows.dtype, self.memory.dtype))
        self.memory[self.filled:self.filled + len(rows)] = rows
        self.filled += len(rows)

    def rows(self) -> Array:
        return self.memory[:self.filled]


class CsrBuffer:
    """Rows of sparse matrices, until they are wanted in one."""

    def __init__(self) -> None:
        self.parts: list[Csr] = []

    def add(self, rows: Csr) -> None:
        self.parts.append(rows.copy())

    def rows(self) -> Csr:
        return joined(self.parts)


# ---- reading ahead -------------------------------------------------------------------------------------------


class ReadAhead:
    """The items of an iterator, some of which a thread fetches before they are asked for."""

    def __init__(self, items: Generator[Any], ahead: int) -> None:
        self.items, self.ahead = items, ahead
        self.ready: deque[Any] = deque()
        self.error: BaseException | None = None
        self.ended = self.stopped = False
        self.changed = threading.Condition()
        self.thread = threading.Thread(target=self._read, name="fastnn-reader", daemon=True)
        self.thread.start()

    def _read(self) -> None:
        try:
            while self._has_room():
                item = next(self.items, None)
                if item is None:
                    break
                with self.changed:
                    self.ready.append(item)
                    self.changed.notify_all()
                del item
            self.items.close()
        except BaseException as error:
            self.error = error
        finally:
            with self.changed:
                self.ended = True
                self.changed.notify_all()

    def _has_room(self) -> bool:
        """Wait until there is room for one more item, or nobody wants one."""
        with self.changed:
            self.changed.wait_for(lambda: self.stopped or len(self.ready) < self.ahead)
            return not self.stopped

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        with self.changed:
            self.changed.wait_for(lambda: self.ready or self.ended)
            if self.ready:
                self.changed.notify_all()
                return self.ready.popleft()
        if self.error is not None:
            raise self.error
        raise StopIteration

    def close(self) -> None:
        """End the thread, which first finishes the read that is under way."""
        with self.changed:
            self.stopped = True
            self.ready.clear()
            self.changed.notify_all()
        self.thread.join(CLOSING_SECONDS)


class Reader(AbstractContextManager["Reader"]):
    """What a call reads from a stream: pieces that `prepare` makes of buffers, epoch after epoch.

    Parameters
    ----------
    stream : Stream
    prepare : callable
        Called with the arrays of a buffer and the number of rows before it, in the reading thread.
    multiple : int
        Buffers are whole multiples of so many rows.
    needs_targets : bool, default True
    """

    def __init__(self, stream: Stream, prepare: Callable[[list[Array], int], Any], multiple: int,
                 needs_targets: bool = True) -> None:
        self.stream, self.prepare, self.multiple, self.needs_targets = stream, prepare, multiple, needs_targets
        self.rows: int | None = None        # of the last epoch that was gone through
        self.read = 0                       # rows, of this one, by the thread
        self.reading: tuple[Iterator[Any], Callable[[], Any]] | None = None
        self.first: Any = None

    def start(self) -> Any:
        """Begin an epoch and return its first piece, which `epoch` will give again; None if there is none."""
        chunks, owned = self.stream.open()
        pieces = self._pieces(chunks, owned)
        if self.stream.read_ahead:
            ahead = ReadAhead(pieces, self.stream.read_ahead)
            self.reading = ahead, ahead.close
        else:
            self.reading = pieces, pieces.close
        self.first = next(self.reading[0], None)
        return self.first

    def _pieces(self, chunks: Iterator[Any], owned: bool) -> Generator[Any]:
        self.read = 0
        try:
            for buffers in buffered(checked_chunks(chunks, self.needs_targets), self.stream.buffer_rows, self.multiple):
                n = len(buffers[0])
                piece = self.prepare(buffers, self.read)
                self.read += n
                del buffers
                yield piece
                del piece
        finally:
            if owned and hasattr(chunks, "close"):
                chunks.close()

    def epoch(self) -> Generator[Any]:
        """The pieces of an epoch, of the one that `start` began, if it did."""
        if self.reading is None:
            self.start()
        assert self.reading is not None
        pieces, _ = self.reading
        piece, self.first = self.first, None
        try:
            while piece is not None:
                yield piece
                del piece
                piece = next(pieces, None)
            self.rows = self.read
        finally:
            self.close()

    def close(self) -> None:
        if self.reading is not None:
            _, close = self.reading
            self.reading = self.first = None
            close()

    def __exit__(self, *error: Any) -> None:
        self.close()


class Readers(list[Reader]):
    """Those of a call, which it closes at its end."""

    def __enter__(self) -> Readers:
        return self

    def __exit__(self, *error: Any) -> None:
        for reader in self:
            reader.close()
