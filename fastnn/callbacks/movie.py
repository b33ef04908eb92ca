"""WeightMovie: the weights of a layer as an animation of their training."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.callbacks.base import Logs
from fastnn.callbacks.pictures import SHADES, view_of
from fastnn.callbacks.recorder import Recorder, needs
from fastnn.files import StrPath, check_output, check_path, write_file
from fastnn.inputs import check_count, check_shape
from fastnn.layers import Layer
from fastnn.named import number

__all__ = ["WeightMovie"]

LARGEST = float(np.finfo(np.float32).max)
FPS = "[0.01, 50]"    # GIF counts hundredths of a second in 16 bits
SAMPLE = 16         # frames whose colours are looked at
DARKEST = 0.995     # part of the numbers below the darkest colours
BAR = 16            # pixels above the picture, for the step
REST = 1000         # milliseconds that the last frame is shown at least


class WeightMovie(Recorder):
    """Take pictures of a layer's kernel every few batches, and make an animation of them.

    The picture is that of `TensorBoard`: tiles, a unit each, if the layer looks at images (as many evenly spaced units
    as find room), otherwise the matrix in blocks. What is kept of a frame are at most ``size**2`` float32 numbers
    (three times as many of images in colours), and at most `max_frames` frames: when these are full, every second one
    is dropped, and from there on half as many are taken. The first one is of the weights before the first step (in a
    run that goes on from a file, after one), the last one of those after the last.

    A batch whose end a callback is told of costs a call of Python, and the frame a pass over the kernel. What fails
    while training goes on ends the movie with one warning, not the training.

    Parameters
    ----------
    layer : str, int or Layer
        Its name, its place or itself.
    every : int, default 1
        Batches between two frames, at first.
    max_frames : int, default 100
        At least 2.
    path : str or path-like, optional
        A GIF file that is written when `fit` ends, by an error or Ctrl-C too.
    fps : float, default 10
        Frames a second of that file.
    size : int, default 256
        Pixels of a side of the picture, about.
    image_shape : tuple (height, width) or (height, width, 3), optional
        Of the layer's inputs, where these are images in flat rows.

    Attributes
    ----------
    frames : list of float32 ndarray
        Blocks' means (rows, columns), or tiles (units, height, width) or (units, height, width, 3).
    steps : list of int
        Batches before each of them, from the beginning of `fit`.
    interval : int
        Batches between two frames by now.

    Raises
    ------
    ImportError
        If `path` is given and pillow is not installed; otherwise by `save`.
    TypeError, ValueError
        For an argument of another type or out of its range; as training begins, for an unknown layer, one without a
        kernel, or a `path` that is no file.
    OSError
        As training begins, if the folder of `path` is none that can be written to.

    Examples
    --------
    >>> import fastnn as fnn
    >>> (x, y), _ = fnn.datasets.load_digits()
    >>> model = fnn.Sequential([fnn.layers.Flatten(), fnn.layers.Dense(16, "relu"), fnn.layers.Dense(10, "softmax")])
    >>> model.compile("adam", "sparse_categorical_crossentropy")
    >>> movie = fnn.callbacks.WeightMovie("dense", every=10)
    >>> _ = model.fit(x, y, epochs=2, verbose=0, callbacks=[movie])
    >>> movie.steps
    [0, 10, 20, 30, 40, 50, 60, 70, 80, 90]
    >>> movie.frames[0].shape
    (16, 8, 8)
    """

    remedy = "Frames that were taken are there, save(path) writes them"

    def __init__(self, layer: str | int | Layer, every: int = 1, max_frames: int = 100, path: StrPath | None = None,
                 fps: float = 10.0, size: int = 256, *, image_shape: Sequence[int] | None = None) -> None:
        super().__init__()
        self.layer, self.every = layer, check_count("every", every)
        self.max_frames = check_count("max_frames", max_frames, low=2, high=10_000)
        self.size = check_count("size", size, low=16, high=2048)
        self.path = None if path is None else _gif(path)
        self.fps = number("fps", fps, FPS)
        self.image_shape = None if image_shape is None else check_shape("image_shape", image_shape)
        if path is not None:
            needs("WeightMovie", "PIL", "pillow")
        self.frames: list[NDArray[np.float32]] = []
        self.steps: list[int] = []
        self.interval = self.every
        self._unsaved = False

    def on_train_begin(self, logs: Logs | None = None) -> None:
        from fastnn.weights.plot.select import layer_of  # weights know of callbacks

        shown = layer_of(self.model, self.layer)
        self._view, self._shown = view_of(self.model, shown, self.size, self.image_shape), shown.path
        if self.path is not None:
            check_output(self.path, "movie")
        self.frames, self.steps, self.interval, self._batch = [], [], self.every, 0
        self._failed, self._unsaved = set(), self.path is not None

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        if not self._batch and self.model._run.saved is None:  # else the weights are about to be others
            self._safely(self._take)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self._batch += 1
        if self._batch % self.interval == 0:
            self._safely(self._take)

    def on_train_end(self, logs: Logs | None = None) -> None:
        if self.steps and self.steps[-1] != self._batch:
            self._safely(self._take, True)

    def close(self) -> None:
        if self._unsaved and self.frames:
            self._unsaved, self._failed = False, set()
            self._safely(self.save, self.path)

    def _take(self, last: bool = False) -> None:
        if len(self.frames) == self.max_frames:
            self.frames, self.steps, self.interval = self.frames[::2], self.steps[::2], 2 * self.interval
        if last or self._batch % self.interval == 0:
            # By its path: the object may be replaced, by a sparse one for instance.
            values = self._view.of(next(member for member in self.model._family if member.path == self._shown))
            self.steps.append(self._batch)
            self.frames.append(values.clip(-LARGEST, LARGEST).astype(np.float32))

    def save(self, path: StrPath, fps: float | None = None) -> None:
        """Write the frames as a GIF, in one step.

        All frames have the same colours for the same numbers, from blue over white for 0 to red, the darkest for the 5
        in a thousand that are largest; above is the number of batches before. Of images in colours the nearest of 256
        that occur in the movie are taken.

        Parameters
        ----------
        path : str or path-like
            It ends in ``.gif``.
        fps : float, optional
            Frames a second, from 0.01 to 50; those of the constructor by default. The last one is shown for a second at
            least.

        Raises
        ------
        ImportError
            If pillow is not installed.
        ValueError
            If there are no frames, or `path` ends otherwise.
        OSError
            If the file cannot be written.
        """
        path = _gif(path)
        rate = self.fps if fps is None else number("fps", fps, FPS)
        if not self.frames:
            raise ValueError("there are no frames yet: give the callback to fit")
        needs("WeightMovie", "PIL", "pillow")
        limit = _limit(self.frames)
        width = len(f"step {self.steps[-1]:,}")
        pictures = [_labelled(*self._view.picture(frame.astype(np.float64), limit), f"step {step:,}", width)
                    for frame, step in zip(self.frames, self.steps, strict=False)]  # Ctrl-C may come between them
        if pictures[0].mode == "RGB":
            pictures = _with_one_palette(pictures)
        each = max(20, round(100 / rate) * 10)
        file = io.BytesIO()
        pictures[0].save(file, "GIF", save_all=True, append_images=pictures[1:], loop=0, optimize=False,
                         duration=[each] * (len(pictures) - 1) + [max(each, REST)])
        write_file(path, file.getvalue())


def _limit(frames: Sequence[NDArray[np.float32]]) -> float:
    """Of the colours: a few large weights would leave the others pale."""
    sizes = np.abs(np.concatenate([frame[np.isfinite(frame)] for frame in frames]))
    if not sizes.size:
        return 1.0
    place = int(sizes.size * DARKEST)
    return float(np.partition(sizes, place)[place]) or float(sizes.max())


def _labelled(pixels: NDArray[np.uint8], palette: bytes | None, label: str, room: int) -> Any:
    """A picture with a bar above it that has room for so many letters."""
    from PIL import Image, ImageDraw

    height, width = pixels.shape[:2]
    mode = "RGB" if palette is None else "P"
    picture = Image.new(mode, (max(width, 7 * room), height + BAR))
    if palette is not None:
        picture.putpalette(palette)
    white: Any = (255, 255, 255) if palette is None else SHADES      # zero, and the darkest blue
    black: Any = (0, 0, 0) if palette is None else 0
    picture.paste(white, (0, 0, *picture.size))
    picture.paste(Image.fromarray(pixels), (0, BAR))
    ImageDraw.Draw(picture).text((4, 2), label, fill=black)
    return picture


def _with_one_palette(pictures: Sequence[Any]) -> list[Any]:
    """GIF has 256 colours: left to Pillow, each frame would have its own."""
    from PIL import Image

    some = np.concatenate([np.asarray(picture) for picture in pictures[::-(-len(pictures) // SAMPLE)]])
    palette = Image.fromarray(some).quantize(256, kmeans=1)
    return [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]


def _gif(path: StrPath) -> str:
    found = check_path("path", path)
    if not found.lower().endswith(".gif"):
        raise ValueError(f"path must end in .gif, the format of the file; received {path!r}")
    return found
