"""TensorBoard: what happens in a training, as files for `tensorboard --logdir`."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn import optimizers
from fastnn._kernels.threads import effective_n_threads
from fastnn.callbacks import events
from fastnn.callbacks.base import Logs
from fastnn.callbacks.pictures import View, view_of
from fastnn.callbacks.projector import Projector, images_of, labels_of
from fastnn.callbacks.recorder import Recorder, needs
from fastnn.errors import DivergenceError
from fastnn.files import StrPath, check_path
from fastnn.inputs import as_features, check_count, check_shape
from fastnn.layers import Layer
from fastnn.named import one_of

__all__ = ["TensorBoard"]

Array = NDArray[Any]
POINTS = 1000       # samples in the projector
NUMBERS = 1 << 20   # and numbers of these, whose text TensorBoard reads in a second
SIDE = 300          # pixels of a picture of a kernel, which TensorBoard draws about as large
RATES = 20          # points of an epoch's learning rates
TRAIN, VALIDATION, RUN = "train", "validation", "."


class TensorBoard(Recorder):
    """Write what happens in a training to files that TensorBoard shows.

    Runs and tags are those of Keras: ``train`` and ``validation`` in `log_dir` with ``epoch_loss``,
    ``epoch_accuracy`` and so on over epochs counted from 0. Give every training a folder of its own; one that goes on
    (``initial_epoch``, ``resume``) keeps its folder. It needs tensorboardX, and pillow for pictures:
    ``pip install "fastnn[viz]"``.

    What fails while training goes on (a full disk, a folder that vanishes) ends the logging with one warning, not the
    training; what is wrong with histograms, pictures, embeddings or a single scalar ends these alone.

    Parameters
    ----------
    log_dir : str or path-like, default "logs"
    histogram_freq : int, default 0
        Epochs between histograms of all weights; 0: none. Of sparse kernels they are of the entries, of pruned ones of
        those that are left, and of finite numbers only: the others are counted under ``not_finite``.
    write_graph : bool, default True
        Whether to write a text: the table of the layers, and how the model is compiled.
    write_images : bool, default False
        Whether to write pictures of kernels where `image_freq` does not say how often: with the histograms.
    write_steps_per_second : bool, default False
    update_freq : "epoch", "batch" or int, default "epoch"
        Whether to write loss and metrics of the epoch so far too, every so many batches, as ``batch_loss`` and so on
        over the steps of the optimizer.
    profile_batch : 0
        For Keras' sake; there is no profile to write.
    embeddings_freq : int, default 0
        Epochs between outputs of a layer for samples, as points for the projector.
    embeddings_metadata : array-like (n,), or dict of str to such, optional
        Labels of the samples.
    image_freq : int, default 0
        Epochs between pictures of kernels: tiles, a unit each, in the first layer of a model of images, otherwise the
        matrix, blue below zero and red above, in blocks where it is large.
    image_shape : tuple (height, width) or (height, width, 3), optional
        Of samples that are images in flat rows.
    embeddings_data : array-like (n, ...), optional
        The samples; at most 1000 are taken, evenly spaced, of layers with more than 1000 outputs fewer.
    embeddings_layer : str, int or Layer, optional
        Whose outputs; the last layer but one by default.
    gradient_data : tuple (x, y) or (x, y, sample_weight), optional
        Some hundred samples, for whose gradients there are histograms too.
    hparams : dict of str to number, str or bool, or False, optional
        What else belongs to the hyper-parameters of the run, beside optimizer, learning rate and sizes; False:
        write none.
    n_threads : int, optional

    Raises
    ------
    ImportError
        If tensorboardX is not installed, or pillow where pictures are asked for.
    TypeError, ValueError
        For an argument of another type or out of its range; as training begins, for an unknown layer, or samples that
        do not suit the model.
    OSError
        As training begins, if the folder cannot be written.

    Examples
    --------
    >>> import os, tempfile
    >>> import fastnn as fnn
    >>> (x, y), _ = fnn.datasets.load_digits()
    >>> model = fnn.Sequential([fnn.layers.Flatten(), fnn.layers.Dense(10, "softmax")], seed=0)
    >>> model.compile("adam", "sparse_categorical_crossentropy")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     board = fnn.callbacks.TensorBoard(folder, histogram_freq=1)
    ...     _ = model.fit(x, y, epochs=2, validation_split=0.2, verbose=0, callbacks=[board])
    ...     print(sorted(name for name in os.listdir(folder) if "tfevents" not in name))
    ['train', 'validation']
    """

    remedy = ("The files so far can be read; mend what is said here, a full disk or a removed folder for instance, for "
              "the next training")

    def __init__(self, log_dir: StrPath = "logs", histogram_freq: int = 0, write_graph: bool = True,
                 write_images: bool = False, write_steps_per_second: bool = False, update_freq: str | int = "epoch",
                 profile_batch: Any = 0, embeddings_freq: int = 0, embeddings_metadata: Any = None, *,
                 image_freq: int = 0, image_shape: Sequence[int] | None = None, embeddings_data: Any = None,
                 embeddings_layer: str | int | Layer | None = None, gradient_data: Any = None,
                 hparams: Mapping[str, Any] | bool | None = None, n_threads: int | None = None) -> None:
        super().__init__()
        self.log_dir = check_path("log_dir", log_dir)
        for name, flag in (("write_graph", write_graph), ("write_images", write_images),
                           ("write_steps_per_second", write_steps_per_second)):
            if not isinstance(flag, bool):
                raise TypeError(f"{name} must be True or False; received {flag!r}")
        if profile_batch:
            raise ValueError(f"profile_batch must be 0, there is no profile to write: py-spy or perf show where a "
                             f"program's time goes; received {profile_batch!r}")
        self.write_graph, self.write_steps_per_second = write_graph, write_steps_per_second
        self.update_freq = _batches(update_freq)
        self.histogram_freq = check_count("histogram_freq", histogram_freq, low=0)
        self.image_freq = check_count("image_freq", image_freq, low=0) \
            or (self.histogram_freq or 1 if write_images else 0)
        self.embeddings_freq = check_count("embeddings_freq", embeddings_freq, low=0)
        self.image_shape = None if image_shape is None else check_shape("image_shape", image_shape)
        if bool(self.embeddings_freq) != (embeddings_data is not None):
            raise ValueError("embeddings_freq and embeddings_data need each other: how often outputs of a layer are "
                             f"written, and for which samples; received embeddings_freq={embeddings_freq} and "
                             f"{'no ' if embeddings_data is None else ''}embeddings_data")
        if embeddings_metadata is not None and embeddings_data is None:
            raise ValueError("embeddings_metadata are labels of embeddings_data, which must be given too")
        self.embeddings_data, self.embeddings_layer = embeddings_data, embeddings_layer
        self.embeddings_metadata = embeddings_metadata
        self.gradient_data = _pair(gradient_data, self.histogram_freq)
        self.hparams = _checked_parameters(hparams)
        effective_n_threads(n_threads)
        self.n_threads = n_threads
        needs("TensorBoard", "tensorboardX", "tensorboardX")
        if self.image_freq or self.embeddings_freq:
            needs("TensorBoard with pictures", "PIL", "pillow")
        self._files: dict[str, events.EventFile] = {}
        self._views: dict[str, View] = {}
        self._projector: Projector | None = None
        self._first: int | None = None
        self._epoch = 0

    def asks(self, method: str) -> bool:
        return method == "on_train_batch_end" and self.update_freq > 0

    # ---- when it is called ------------------------------------------------------------------------------------

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """All that can be wrong, before the first epoch."""
        self._abandon()
        self._failed, self._projector = set(), None
        if self.gradient_data is not None:
            self._gradients()
        self._views = self._kernels() if self.image_freq else {}
        samples = self._samples()
        for run in (TRAIN, VALIDATION, RUN)[:3 if self.model._run.plan["validation"] is not None else 1]:
            self._file(run)
        if self.hparams is not None:
            self._file(RUN).write(0, events.parameters_begin(_parameters(self.model) | self.hparams, self._watched()))
        if samples is not None:
            rows, labels = samples
            self._points = rows
            self._projector = Projector(self.log_dir, self._wanted, labels,
                                        images_of(rows, self.image_shape or self.model.input_shape))
        if self.write_graph:
            self._file(TRAIN).write(0, [events.text("model", _described(self.model))])
        self._flush()

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        saved = self.model._run.saved   # about to be taken up
        self._epoch, self._start = epoch, time.perf_counter()
        self._first = self._steps(0) if saved is None else None

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        step = self._steps(batch + 1) - 1
        if step % self.update_freq == 0:
            self._safely(self._write, TRAIN, step, "batch_{}", logs or {})

    def on_test_end(self, logs: Logs | None = None) -> None:
        self._safely(self._write, VALIDATION, self._steps(), "evaluation_{}_vs_iterations", logs or {})

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self._safely(self._write_epoch, epoch, logs or {})

    def on_train_end(self, logs: Logs | None = None) -> None:
        if self.hparams is not None:
            self._safely(lambda: self._file(RUN).write(0, events.parameters_end()))

    def close(self) -> None:
        self._safely(self._close)

    def _close(self) -> None:
        while self._files:
            self._files.popitem()[1].close()

    def _abandon(self) -> None:
        while self._files:
            self._files.popitem()[1].abandon()

    # ---- what is written --------------------------------------------------------------------------------------

    def _file(self, run: str) -> events.EventFile:
        if run not in self._files:
            self._files[run] = events.EventFile(os.path.normpath(os.path.join(self.log_dir, run)))
        return self._files[run]

    def _flush(self) -> None:
        for file in self._files.values():
            file.flush()

    def _write(self, run: str, step: int, tag: str, logs: Logs) -> None:
        values = [self._safely(events.scalar, tag.format(name), value, part=f"the scalar {name!r}")
                  for name, value in logs.items()]
        self._file(run).write(step, [value for value in values if value is not None])

    def _write_epoch(self, epoch: int, logs: Logs) -> None:
        train = {name: value for name, value in logs.items() if not name.startswith("val_")}
        held_out = {name.removeprefix("val_"): value for name, value in logs.items() if name not in train}
        train = self._rates() | train   # that of the logs may have been changed since
        if self.write_steps_per_second and self._first is not None:
            train["steps_per_second"] = (self._steps() - self._first) / (time.perf_counter() - self._start)
        self._write(TRAIN, epoch, "epoch_{}", train)
        if held_out:
            self._write(VALIDATION, epoch, "epoch_{}", held_out)
        if self.histogram_freq and epoch % self.histogram_freq == 0:
            self._file(TRAIN).write(epoch, self._safely(self._histograms, part="histograms") or [])
        if self.image_freq and epoch % self.image_freq == 0:
            self._file(TRAIN).write(epoch, self._safely(self._pictures, part="pictures") or [])
        if self._projector is not None and epoch % self.embeddings_freq == 0:
            self._safely(self._write_points, epoch, part="embeddings")
        self._flush()

    def _write_points(self, epoch: int) -> None:
        assert self._projector is not None
        self._projector.write(epoch, self._outputs(self._points))

    def _rates(self) -> Logs:
        """The learning rate of the last step; those of a schedule inside the epoch are written over the steps."""
        optimizer, last = self.model.optimizer, self._steps()
        if isinstance(optimizer, optimizers.LBFGS):
            return {}
        if isinstance(optimizer.learning_rate, float):
            return {"learning_rate": optimizer.learning_rate}
        first = max(last - 1, 0) if self._first is None else self._first
        if last <= first:
            return {}
        rates = optimizer.rates(first, last - first).tolist()
        for i in np.unique(np.linspace(0, len(rates) - 1, RATES).astype(int)).tolist():
            self._file(TRAIN).write(first + i, [events.scalar("batch_learning_rate", rates[i])])
        return {"learning_rate": rates[-1]}

    def _histograms(self) -> list[Any]:
        found = []
        gradients = self._gradients() if self.gradient_data is not None else None
        i = 0
        for leaf in self.model._leaves():
            specs = leaf.parameters(leaf.input_shape)
            for name, weight in leaf.weights.items():
                arrays = {"histogram": weight}
                if gradients and leaf.trainable and specs[name].trainable:
                    arrays["gradient"] = gradients[i]
                for what, array in arrays.items():
                    kept = array[leaf.masks[name]] if name in leaf._masks else array
                    found += events.counted(f"{leaf.path}/{name}", what, kept, self.n_threads)
                i += 1
        return found

    def _pictures(self) -> list[Any]:
        return [_picture(leaf, self._views[leaf.path]) for leaf in self.model._leaves() if leaf.path in self._views]

    def _gradients(self) -> list[Array] | None:
        """None where the loss is not finite."""
        assert self.gradient_data is not None
        try:
            return self.model.gradients(*self.gradient_data, n_threads=self.n_threads)
        except DivergenceError:
            return None

    def _steps(self, batches: int | None = None) -> int:
        """Steps that are done, by the optimizer's own count, which goes on where training does; of L-BFGS, which has
        none, those of so many batches of the epoch, or of all."""
        state = self.model._state
        if state is not None:
            return int(state.step)
        optimizer = self.model.optimizer
        each = optimizer.max_iter if isinstance(optimizer, optimizers.LBFGS) else 0
        return self._epoch * each + (each if batches is None else batches)

    # ---- what is looked at ------------------------------------------------------------------------------------

    def _layer(self) -> Layer:
        layers = self.model.layers
        if self.embeddings_layer is None:
            return layers[max(len(layers) - 2, 0)]
        from fastnn.weights.plot.select import layer_of  # weights know of callbacks

        layer = layer_of(self.model, self.embeddings_layer)
        if not any(layer is own for own in layers):
            raise ValueError(f"embeddings_layer must be one of the model's own layers; {layer.path!r} is inside one")
        return layer

    def _samples(self) -> tuple[Array, Any] | None:
        """Those of the projector, and their labels."""
        if self.embeddings_data is None:
            return None
        layer = self._layer()
        self._wanted, width = layer.path, layer.n_outputs   # the object may be replaced, by a sparse one for instance
        rows, _ = as_features(self.embeddings_data, self.model.input_shape, "embeddings_data", self.model.dtype)
        taken = np.linspace(0, len(rows) - 1, min(len(rows), POINTS, max(NUMBERS // width, 1))).astype(np.intp)
        return rows[taken].reshape(-1, *self.model.input_shape), labels_of(self.embeddings_metadata, len(rows), taken)

    def _outputs(self, rows: Array) -> Array:
        from fastnn.weights.statistics import layer_outputs  # weights know of callbacks

        outputs = layer_outputs(self.model, rows, n_threads=self.n_threads)
        found = next(out for layer, out in outputs if layer.path == self._wanted)
        return found.reshape(len(rows), -1)

    def _kernels(self) -> dict[str, View]:
        """The first one may look at images."""
        from fastnn.weights.plot.select import leaves_with_kernels

        return {leaf.path: view_of(self.model, leaf, SIDE, None if i else self.image_shape)
                for i, leaf in enumerate(leaves_with_kernels(self.model))}

    def _watched(self) -> list[tuple[str, str]]:
        groups = [VALIDATION] if self.model._run.plan["validation"] is not None else []
        return [(group, f"epoch_{name}") for group in [*groups, TRAIN] for name in self.model.metrics_names]


def _picture(layer: Layer, view: View) -> Any:
    values = view.of(layer)
    largest = np.max(np.abs(values), axis=tuple(range(1, values.ndim)) if view.tile else None, keepdims=True,
                     initial=0.0, where=np.isfinite(values))
    pixels, palette = view.picture(values / np.where(largest > 0, largest, 1.0), 1.0)
    return events.image(f"{layer.path}/kernel/image", pixels, palette)


def _batches(update_freq: Any) -> int:
    """Batches between two writes, or 0."""
    if isinstance(update_freq, str):
        return {"epoch": 0, "batch": 1}[one_of("update_freq", update_freq, ("epoch", "batch"))]
    return check_count("update_freq", update_freq)


def _pair(data: Any, histogram_freq: int) -> tuple[Any, ...] | None:
    if data is None:
        return None
    if not isinstance(data, (tuple, list)) or len(data) not in (2, 3):
        raise ValueError("gradient_data must be (x, y) or (x, y, sample_weight); received "
                         f"{type(data).__name__}")
    if not histogram_freq:
        raise ValueError("gradient_data needs histogram_freq, the epochs between histograms; received histogram_freq=0")
    return tuple(data)


def _checked_parameters(given: Any) -> dict[str, Any] | None:
    if given is False:
        return None
    if given is not None and not isinstance(given, Mapping):
        raise TypeError("hparams must be a dict of names and numbers, texts or truth values, or False; received "
                        f"{given!r}")
    found = {}
    for name, value in (given or {}).items():
        value = value.item() if isinstance(value, np.generic) else value
        if not isinstance(name, str) or not isinstance(value, (bool, int, float, str)):
            raise TypeError(f"hparams must be a dict of names and numbers, texts or truth values; received "
                            f"{name!r}: {value!r}")
        if not isinstance(value, str) and not abs(value) <= sys.float_info.max:     # NaN too
            raise ValueError(f"numbers of hparams must be finite, and such that a float can be; received {name!r}: "
                             f"{value!r}")
        found[name] = value
    return found


def _parameters(model: Any) -> dict[str, Any]:
    """Those of every run, the same names whatever the optimizer: TensorBoard takes the columns from one of the runs. It
    shows the first five in alphabetical order until others are asked for."""
    optimizer, plan = model.optimizer, model._run.plan
    searches = isinstance(optimizer, optimizers.LBFGS)
    rate = 0.0 if searches else float(optimizer.rates(0, 1)[0])
    schedule = "constant" if searches or isinstance(optimizer.learning_rate, float) \
        else type(optimizer.learning_rate).__name__
    usual = optimizer._arguments_of()
    chosen = ", ".join(f"{name}={value!r}" for name, value in optimizer._arguments().items()
                       if name != "learning_rate" and (value or None) != (usual[name] or None))
    sizes = [leaf.output_shape[-1] for leaf in model._leaves() if "kernel" in leaf.weights]
    return {"optimizer": type(optimizer).__name__ + (f"({chosen})" if chosen else ""), "learning_rate": rate,
            "schedule": schedule, "batch_size": plan["batch_size"], "epochs": model._run.calls.params["epochs"],
            "layers": "-".join(map(str, [math.prod(model.input_shape), *sizes])),
            "parameters": model.count_params(), "seed": model.seed}


def _described(model: Any) -> str:
    """A table in Markdown."""
    rows = ["| layer | type | output shape | parameters |", "|:--|:--|:--|--:|"]
    for layer in model._family:
        name = layer.path.replace("|", "\\|")
        rows.append(f"| {name} | {type(layer).__name__} | {layer.output_shape} | {layer.count_params():,} |")
    rows.append(f"| **{model.name}** | | {model.output_shape} | **{model.count_params():,}** |")
    return "\n".join([*rows, "", f"- optimizer: `{model.optimizer!r}`", f"- loss: `{model.loss!r}`",
                      f"- metrics: {', '.join(model.metrics_names[1:]) or 'none'}", f"- inputs: {model.input_shape}, "
                      f"{model.dtype}"])
