"""Files of TensorBoard's events, and what they hold."""

from __future__ import annotations

import errno
import io
import itertools
import os
import socket
import struct
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.kernels import extent, histogram

__all__ = ["EventFile", "counted", "image", "parameters_begin", "parameters_end", "png", "scalar", "text"]

Array = NDArray[Any]
Values = list[Any]      # of tensorboardX's Summary.Value

BINS = 64
ALIVE = 1.0             # seconds after which a reader should see what is there
_serial = itertools.count()


class EventFile:
    """A file of events that is written where it is called.

    tensorboardX's own writer hands events to a thread through a queue of ten places: where a full disk ends the thread,
    the next call waits for ever. This one raises. A file that cannot take a whole record is cut back to the last one
    that it has.

    Nothing is kept in buffers of the file object, so that a forked child has nothing to write a second time.
    """

    def __init__(self, folder: str) -> None:
        os.makedirs(folder, exist_ok=True)
        name = f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}.{next(_serial):06d}"
        self.path = os.path.join(folder, name)
        self._file = open(self.path, "xb", buffering=0)  # noqa: SIM115
        self._waiting: list[bytes] = []
        self._written = 0.0
        try:
            self._add(file_version="brain.Event:2")
            self.flush()
        except BaseException:
            self._file.close()
            raise

    def write(self, step: int, values: Values) -> None:
        """Values of a step. They reach the disk within a second of such calls, or with `flush`."""
        from tensorboardX.proto.summary_pb2 import Summary

        if values:
            self._add(step=step, summary=Summary(value=values))
            if time.monotonic() - self._written > ALIVE:
                self.flush()

    def _add(self, **fields: Any) -> None:
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.record_writer import masked_crc32c

        data = Event(wall_time=time.time(), **fields).SerializeToString()
        length = struct.pack("<Q", len(data))
        self._waiting += [length, struct.pack("<I", masked_crc32c(length)), data,
                          struct.pack("<I", masked_crc32c(data))]

    def flush(self) -> None:
        """Hand all to the system. OSError if that fails, or the file has been removed."""
        data, self._waiting = memoryview(b"".join(self._waiting)), []
        end = self._file.tell()
        if not os.fstat(self._file.fileno()).st_nlink:
            raise FileNotFoundError(errno.ENOENT, "the file has been removed", self.path)
        try:
            while data:
                data = data[self._file.write(data):]
        except BaseException:
            with suppress(OSError):
                self._file.truncate(end)
            raise
        self._written = time.monotonic()

    def close(self) -> None:
        try:
            if not self._file.closed:
                self.flush()
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Close without what waits to be written."""
        self._waiting = []
        with suppress(OSError):
            self._file.close()


def scalar(tag: str, value: float) -> Any:
    return _value(tag, simple_value=float(value))


def counted(tag: str, what: str, values: Array, n_threads: int | None) -> Values:
    """The histogram of the finite numbers, and how many others there are, where there are any."""
    from tensorboardX.proto.summary_pb2 import HistogramProto

    from fastnn.weights.monitor import span  # weights know of callbacks

    low, high, total, squares, others = extent(values, n_threads=n_threads).tolist()
    found = [scalar(f"{tag}/not_finite/{what}", others)] if others else []
    if low <= high:
        low, high = span(low, high)
        counts, edges = histogram(values, low, high, BINS, n_threads=n_threads), np.linspace(low, high, BINS + 1)
        found.append(_value(f"{tag}/{what}", histo=HistogramProto(
            min=edges[0], max=edges[-1], num=float(counts.sum()), sum=total, sum_squares=squares,
            bucket_limit=edges[1:].tolist(), bucket=counts.tolist())))
    return found


def image(tag: str, pixels: NDArray[np.uint8], palette: bytes | None) -> Any:
    """(height, width, 3), or (height, width) of places in a palette."""
    from tensorboardX.proto.summary_pb2 import Summary

    height, width = pixels.shape[:2]
    return _value(tag, image=Summary.Image(height=height, width=width, colorspace=3,
                                           encoded_image_string=png(pixels, palette)))


def png(pixels: NDArray[np.uint8], palette: bytes | None = None) -> bytes:
    from PIL import Image

    picture = Image.fromarray(pixels)
    if palette is not None:
        picture.putpalette(palette)
    file = io.BytesIO()
    picture.save(file, "PNG", compress_level=1)  # a third of the time of the default, and hardly larger
    return file.getvalue()


def text(tag: str, markdown: str) -> Any:
    from tensorboardX.summary import text as summary

    value = summary(tag, markdown).value[0]
    value.tag = tag     # without its suffix
    return value


def parameters_begin(parameters: Mapping[str, Any], metrics: Iterable[tuple[str, str]]) -> Values:
    """What the page of hyper-parameters needs when a run begins; the values of `metrics`, (group, tag), it reads
    itself."""
    from tensorboardX.proto.api_pb2 import MetricInfo, MetricName
    from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData
    from tensorboardX.summary import hparams

    # What is no number of 64 bits tensorboardX takes as a float alone, and all become one.
    experiment, start, _ = hparams({name: float(value) if type(value) is int else value
                                    for name, value in parameters.items()}, {})
    data = experiment.value[0].metadata.plugin_data
    content = HParamsPluginData.FromString(data.content)
    content.experiment.metric_infos.extend(
        MetricInfo(name=MetricName(group=group, tag=tag), display_name=f"{group} {tag.removeprefix('epoch_')}")
        for group, tag in metrics)
    data.content = content.SerializeToString()
    return [experiment.value[0], start.value[0]]


def parameters_end() -> Values:
    from tensorboardX.summary import hparams

    return [hparams({}, {})[2].value[0]]


def _value(tag: str, **content: Any) -> Any:
    from tensorboardX.proto.summary_pb2 import Summary

    return Summary.Value(tag=tag, **content)
