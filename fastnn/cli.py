"""The ``fastnn`` command: train, predict, evaluate, inspect, bench.

A model trained here takes raw data and gives raw answers: what scales them is part of its layers. The names
of its classes, features and target are in its ``metadata``.
"""

from __future__ import annotations

import argparse
import csv
import io
import math
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from fastnn import callbacks, optimizers
from fastnn._kernels.threads import effective_n_threads
from fastnn.callbacks import Callback
from fastnn.cli_data import (
    DIGITS,
    TASKS,
    Data,
    Scaling,
    choose_task,
    class_labels,
    class_names,
    read_data,
    select_columns,
)
from fastnn.config import cpu_name, show_config
from fastnn.datasets import quoted
from fastnn.files import check_output, write_file
from fastnn.layers import Dense, Dropout, Flatten, Rescaling
from fastnn.layers.base import Layer
from fastnn.model import Sequential
from fastnn.named import number
from fastnn.reference_training import ReferenceMLP
from fastnn.reports import report
from fastnn.reports.overview import overview
from fastnn.reports.pictures import picture_format
from fastnn.saving import load_model
from fastnn.version import __version__
from fastnn.weights import statistics
from fastnn.weights.plot.figure import library

__all__ = ["main"]

Array = NDArray[Any]

VALIDATION_SPLIT = 0.2  # where the data has no test set of its own
REFERENCE_SECONDS = 2.0


def say(what: str, text: str) -> None:
    print(f"{what:<12}{text}", flush=True)


def _check_output(path: str, what: str, others: Mapping[str, str]) -> None:
    """Refuse what cannot be written, and what would replace another file of the command."""
    check_output(path, what)
    for other, place in others.items():
        if os.path.realpath(path) == os.path.realpath(place):
            raise ValueError(f"{path}: the {what} would replace {other}; give it another name")


# ---- train -------------------------------------------------------------------------------------------------


def train(args: argparse.Namespace) -> None:
    """Train a model, show how good and how fast it is, and save it."""
    inputs = {} if args.data == DIGITS else {"the data": args.data}
    _check_output(args.out, "model", inputs)
    if args.report is not None:
        library("--report")
        _check_output(args.report, "report", inputs | {"the model": args.out})
    boards = [] if args.tensorboard is None else [callbacks.TensorBoard(args.tensorboard, histogram_freq=1)]
    data = read_data(args.data, args.target)
    assert data.y is not None
    if data.test and args.target is not None:
        raise ValueError(f"--target is for CSV and NPZ files; {args.data} has labels of its own")
    task, reason = choose_task(data.y, args.task)
    notes: dict[str, Any] = {"task": task, "target": data.target, "feature_names": data.features}
    if task == "classification":
        notes["class_names"] = names = class_names(data.y)
        if len(names) < 2:
            raise ValueError(f"classification needs two classes or more; every row has the class {quoted(names[0])}")
    (x, y), validation, test = _parts(data, notes, args)
    model, scalings = _network(x, y, notes, args)
    say("data", f"{args.data}: {len(x):,} rows to train on, {_count(validation)} to validate, {_count(test)} "
                f"to test; samples of shape {x.shape[1:]}, {x.dtype}")
    say("task", f"{task}{f' of {model.n_outputs} classes' if task == 'classification' else ''}: {reason}")
    if task == "regression":
        say("units", "the table is for targets scaled to mean 0 and deviation 1; the lines below it are in real units")
    seconds = _fit(model, _scaled((x, y), scalings), validation and _scaled(validation, scalings), boards, args)
    rival = _numpy_seconds(model, x, y, args.batch_size) if args.data == DIGITS else None
    _move_scalings(model, scalings)
    print()
    for name, part in (("validation", validation), ("test", test)):
        if part:
            say(name, _figures(model, part, args.threads))
    if rival:
        say("speed", f"{seconds:.4f} s an epoch at best; NumPy with its default threads takes {rival:.4f} s: "
                     f"{rival / seconds:.1f} times faster")
    model.metadata = notes
    # Slots belong to the scaled data that the optimizer saw.
    model.save(args.out, include_optimizer=not any(scalings))
    say("saved", f"{args.out} ({os.path.getsize(args.out) / 1024:,.0f} KB)")
    if boards:
        say("logs", f"{args.tensorboard}; tensorboard --logdir shows them")
    if args.report is not None:
        _report(model, test or validation, bool(scalings[1]), args)


def _report(model: Sequential, part: Part | None, scaled: bool, args: argparse.Namespace) -> None:
    """The page about a model that is saved already, whatever comes of it."""
    target = model.metadata["target"]
    note = "Curves are of targets scaled to mean 0 and deviation 1, answers in real units." if scaled else None
    x, y = part or (None, None)
    try:
        report(model, None, x, y, args.report, title=f"fastnn train {args.data}", note=note,
               class_names=[target] if scaled and target and model.n_outputs == 1 else None, n_threads=args.threads)
    except Exception as error:
        raise ValueError(f"no report was written: {error}; the model is saved in {args.out}") from error
    say("report", f"{args.report} ({os.path.getsize(args.report) / 1024:,.0f} KB)")


Part = tuple[Array, Array]


def _parts(data: Data, notes: dict[str, Any],
           args: argparse.Namespace) -> tuple[Part, Part | None, Part | None]:
    """Rows to train on, to validate, to test; targets as the loss takes them."""
    assert data.y is not None
    split, n = args.validation_split, len(data.x)
    if split is None:
        split = 0.0 if data.test else VALIDATION_SPLIT
    split = number("validation-split", split, "[0, 1)")
    held_out = math.ceil(n * split)
    if held_out >= n:
        raise ValueError(f"validation-split {split:g} of {n} rows leaves none to train on")
    x, y = data.x, _targets(data.y, notes)
    test = None if data.test is None else (data.test[0], _targets(data.test[1], notes))
    if not held_out:
        return (x, y), None, test
    order = np.random.default_rng(args.seed).permutation(n)
    first, rest = np.sort(order[:held_out]), np.sort(order[held_out:])
    return (x[rest], y[rest]), (x[first], y[first]), test


def _targets(y: Array, notes: dict[str, Any]) -> Array:
    if notes["task"] == "classification":
        return class_labels(y, notes["class_names"])
    return y.reshape(len(y), -1).astype(np.float64)


def _network(x: Array, y: Array, notes: dict[str, Any],
             args: argparse.Namespace) -> tuple[Sequential, list[Scaling | None]]:
    """The compiled model, and the scalings of inputs and targets that it needs while it is trained."""
    classes = notes.get("class_names")
    layers: list[Layer] = [Flatten()] if x.ndim > 2 else []
    pixels = x.dtype in (np.uint8, np.bool_)
    if pixels:
        layers.append(Rescaling(1 / max(1, int(x.max()))))
    for units in args.hidden:
        layers.append(Dense(units, activation=args.activation))
        if args.dropout:
            layers.append(Dropout(args.dropout))
    layers.append(Dense(len(classes), activation="softmax") if classes else Dense(y.shape[1]))
    # Where scaling moves into the weights, float32 would lose digits of columns such as years.
    narrow = pixels or x.dtype in (np.float32, np.float16)
    model = Sequential(layers, seed=args.seed, dtype="float32" if narrow else "float64")
    model.build(x.shape[1:])
    optimizer = optimizers.get(args.optimizer)
    if args.learning_rate is not None:
        optimizer.learning_rate = args.learning_rate
    if classes:
        model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    else:
        model.compile(optimizer, "mse", metrics=["mae", "r2_score"])
    return model, [None if pixels else Scaling.of(x), None if classes else Scaling.of(y)]


def _fit(model: Sequential, part: Part, validation: Part | None, boards: Sequence[Callback],
         args: argparse.Namespace) -> float:
    """Train; the time of the fastest epoch."""
    optimizer, watch = model.optimizer, _EpochTimes()
    assert optimizer is not None
    say("network", f"{_sizes(model)}, {args.activation}, {model.count_params():,} parameters, {model.dtype}")
    how = (f"{optimizer.max_iter} iterations an epoch" if isinstance(optimizer, optimizers.LBFGS)
           else f"learning rate {optimizer.learning_rate:g}, batches of {args.batch_size}")
    say("training", f"{optimizer.name}, {how}, at most {effective_n_threads(args.threads)} threads\n")
    model.fit(part[0], part[1], batch_size=args.batch_size, epochs=args.epochs, validation_data=validation,
              callbacks=[watch, *boards], verbose=1 if sys.stderr.isatty() else 2, n_threads=args.threads)
    return min(watch.seconds)


def _scaled(part: Part, scalings: Sequence[Scaling | None]) -> Part:
    x, y = (array if scaling is None else scaling.apply(array)
            for array, scaling in zip(part, scalings, strict=True))
    return x, y


def _move_scalings(model: Sequential, scalings: Sequence[Scaling | None]) -> None:
    dense = [layer for layer in model.layers if isinstance(layer, Dense)]
    if scalings[0]:
        scalings[0].move_into_input(dense[0])
    if scalings[1]:
        scalings[1].move_into_output(dense[-1])


def _numpy_seconds(model: Sequential, x: Array, y: Array, batch_size: int) -> float:
    """An epoch of the same dense layers in NumPy: its steps times the fastest of REFERENCE_SECONDS' worth."""
    scale = next(layer.scale for layer in model.layers if isinstance(layer, Rescaling))
    rows = x.reshape(len(x), -1).astype(model.dtype) * np.dtype(model.dtype).type(scale)
    mlp, rng = ReferenceMLP.from_model(model), np.random.default_rng(0)
    steps, best, end = -(-len(rows) // batch_size), math.inf, time.perf_counter() + REFERENCE_SECONDS
    while math.isinf(best) or time.perf_counter() < end:
        start = time.perf_counter()
        index = rng.integers(len(rows), size=batch_size)
        mlp.step(rows[index], y[index])
        best = min(best, time.perf_counter() - start)
    return best * steps


class _EpochTimes(Callback):
    def on_train_begin(self, logs: Any = None) -> None:
        self.seconds: list[float] = []

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.seconds.append(time.perf_counter() - self.start)


def _count(part: Part | None) -> str:
    return f"{len(part[0]):,}" if part else "none"


def _sizes(model: Sequential) -> str:
    dense = [layer for layer in model.layers if isinstance(layer, Dense)]
    return "-".join(str(size) for size in (dense[0].n_inputs, *(layer.units for layer in dense)))


def _figures(model: Sequential, part: Part, n_threads: int | None) -> str:
    figures = model.evaluate(*part, return_dict=True, n_threads=n_threads)
    assert isinstance(figures, dict)
    return ", ".join(f"{name} {value:.4f}" for name, value in reversed(figures.items()))


# ---- predict, evaluate -------------------------------------------------------------------------------------


def predict(args: argparse.Namespace) -> None:
    """Write a row of answers for each row of data."""
    if args.out is not None:
        _check_output(args.out, "predictions", {"the model": args.model, "the data": args.data})
    model, notes = _load(args.model)
    data = read_data(args.data, notes["target"], needs_target=False)
    x = select_columns(data, notes["feature_names"], args.data)
    outputs = model.predict(data.test[0] if data.test else x, n_threads=args.threads)
    outputs = outputs.reshape(len(outputs), -1)
    names = notes["class_names"]
    if args.probabilities and not names:
        raise ValueError("--probabilities is for classification; this model gives numbers")
    target = notes["target"] or "prediction"
    if args.probabilities:
        text = _csv(names, outputs)
    elif names:
        text = _csv([target], ([names[i]] for i in outputs.argmax(axis=1)))
    else:
        columns = outputs.shape[1]
        text = _csv([target] if columns == 1 else [f"{target}_{i}" for i in range(columns)], outputs)
    if args.out is None:
        sys.stdout.write(text)
    else:
        write_file(args.out, text.encode())
        say("saved", f"{args.out} ({len(outputs):,} rows)")


def _csv(header: Sequence[str], rows: Iterable[Iterable[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([str(value) for value in row] for row in rows)
    return text.getvalue()


def evaluate(args: argparse.Namespace) -> None:
    """Show loss and metrics of a model on data with answers."""
    model, notes = _load(args.model)
    if model.loss is None:
        raise ValueError(f"{args.model}: the model was saved before compile chose a loss")
    target = args.target or notes["target"]
    data = read_data(args.data, target)
    x, y = data.test or (select_columns(data, notes["feature_names"], args.data), data.y)
    assert y is not None
    if model.loss.sparse:
        y = class_labels(y, notes["class_names"])
    say("rows", f"{len(x):,}{' of the test set' if data.test else ''}")
    figures = model.evaluate(x, y, return_dict=True, n_threads=args.threads)
    assert isinstance(figures, dict)
    for name, value in figures.items():
        say(name, f"{value:.6g}")


def _load(path: str) -> tuple[Sequential, dict[str, Any]]:
    """A model, and its notes with all keys, checked: they come from a file."""
    model = load_model(path)
    given, n_inputs, n_outputs = model.metadata, math.prod(model.input_shape or ()), model.n_outputs
    notes = {key: given.get(key) for key in ("task", "target", "class_names", "feature_names")}
    for key, length in (("class_names", n_outputs), ("feature_names", n_inputs)):
        names = notes[key]
        if names is not None and not (isinstance(names, list) and len(names) == length
                                      and all(isinstance(name, str) for name in names)):
            raise ValueError(f"{path}: its metadata has {key} that are not {length} strings")
    if notes["target"] is not None and not isinstance(notes["target"], str):
        raise ValueError(f"{path}: its metadata has a target that is not a string")
    if notes["class_names"] is None and model.loss is not None and model.loss.sparse:
        notes["class_names"] = [str(i) for i in range(n_outputs)]
    return model, notes


# ---- inspect -----------------------------------------------------------------------------------------------


def inspect(args: argparse.Namespace) -> None:
    """Show a model's layers, what it was trained for, and statistics of its weights."""
    if args.plot is not None:
        kind = picture_format(args.plot)
        library("--plot")
        _check_output(args.plot, "picture", {"the model": args.model})
    model = load_model(args.model, compile=False)
    model.summary()
    print()
    for key, value in model.metadata.items():
        if value is not None:
            text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            say(f"{key} ", text if len(text) <= 90 else f"{text[:87]}...")
    print(f"\n{statistics(model)!r}")
    print("\nnear 0: below a hundredth of the weight's root mean square")
    if args.plot is not None:
        write_file(args.plot, overview(model, kind))
        print()
        say("picture", f"{args.plot} ({os.path.getsize(args.plot) / 1024:,.0f} KB)")


# ---- bench -------------------------------------------------------------------------------------------------


def bench(args: argparse.Namespace) -> None:
    """Time training steps of named works against NumPy."""
    from fastnn.works import WORKS, fastnn_seconds, numpy_seconds, thread_counts, threads_can_be_set

    config = show_config(mode="dicts")
    assert config is not None
    most = effective_n_threads(args.threads)
    threads = sorted({1, most})
    say("machine", f"{cpu_name()}, {most} threads, {config['instruction set']}")
    say("versions", f"fastnn {__version__}, Python {config['python']}, NumPy {np.__version__}")
    say("NumPy", f"with the best number of threads among {', '.join(map(str, thread_counts(most)))}"
        if threads_can_be_set() else "with its default threads; threadpoolctl would find the best number")
    print("\nTime of a training step in float32: Adam, ReLU, softmax cross-entropy; best epoch.\n")
    columns = [*(f"{n} thread{'s' * (n > 1)}" for n in threads), "NumPy", "faster"]
    print(f"{'work':<20}  {'batch':>5}  " + "  ".join(f"{name:>10}" for name in columns))
    seconds = 0.2 if args.quick else 1.0
    for work in WORKS:
        if work.large and not args.all:
            continue
        ours = [fastnn_seconds(work, n, seconds) for n in threads]
        rival = numpy_seconds(work, most, seconds)
        cells = [*map(_duration, [*ours, rival]), f"{rival / min(ours):.1f} x"]
        print(f"{work.name:<20}  {work.batch:>5}  " + "  ".join(f"{cell:>10}" for cell in cells), flush=True)


def _duration(seconds: float) -> str:
    return f"{seconds * 1e6:,.0f} us" if seconds < 0.1 else f"{seconds * 1e3:,.0f} ms"


# ---- the command -------------------------------------------------------------------------------------------


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message} (see {self.prog} --help)")


def _integer(low: int, high: int = 2**31 - 1) -> Callable[[str], int]:
    """Reads an integer in [low, high]."""

    def read(text: str) -> int:
        with suppress(ValueError):
            value = int(text)
            if low <= value <= high:
                return value
        raise argparse.ArgumentTypeError(f"must be an integer in [{low}, {high}]; received {quoted(text)}")

    return read


def _real(text: str) -> float:
    with suppress(ValueError):
        return float(text)
    raise argparse.ArgumentTypeError(f"must be a number; received {quoted(text)}")


def _units(text: str) -> list[int]:
    with suppress(ValueError):
        return [int(part) for part in text.split(",")] if text.strip() else []
    raise argparse.ArgumentTypeError(f"must be integers with commas between them, as in 512,512, or ''; "
                                     f"received {quoted(text)}")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="fastnn", description="Dense neural networks, trained in compiled code on the CPU.")
    parser.add_argument("--version", action="version", version=f"fastnn {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    data_help = f"CSV with a header, NPZ, folder of IDX files, or '{DIGITS}' (default: those of the package)"

    def command(run: Any, *positional: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(run.__name__, help=run.__doc__.rstrip("."), description=run.__doc__)
        sub.set_defaults(run=run)
        if "model" in positional:
            sub.add_argument("model", metavar="MODEL", help="file that train wrote")
        if "data" in positional:
            sub.add_argument("data", metavar="DATA", nargs="?", default=DIGITS, help=data_help)
        return sub

    sub = command(train, "data")
    sub.add_argument("--target", help="column of a CSV, or array of an NPZ, to learn")
    sub.add_argument("--task", choices=TASKS, help="default: chosen by the target")
    sub.add_argument("--hidden", type=_units, default=[512, 512], metavar="N,N",
                     help="units of the hidden layers; '' for none (512,512)")
    sub.add_argument("--activation", default="relu", help="of the hidden layers (relu)")
    sub.add_argument("--dropout", type=_real, default=0.0, metavar="RATE", help="after each hidden layer (0)")
    sub.add_argument("--epochs", type=_integer(1), default=20, metavar="N", help="passes over the data (20)")
    sub.add_argument("--batch-size", type=_integer(1), default=32, metavar="N", help="rows of a step (32)")
    sub.add_argument("--optimizer", default="adam", help="(adam)")
    sub.add_argument("--learning-rate", type=_real, metavar="RATE", help="default: the optimizer's")
    sub.add_argument("--validation-split", type=_real, metavar="PART",
                     help=f"of the rows, to validate on ({VALIDATION_SPLIT}; 0 if the data has a test set)")
    sub.add_argument("--seed", type=_integer(0, 2**63 - 1), default=0, metavar="N",
                     help="of weights, shuffling and dropout (0)")
    sub.add_argument("--out", default="model.safetensors", metavar="FILE", help="(model.safetensors)")
    sub.add_argument("--report", metavar="FILE", help="HTML page to write about the training (needs matplotlib)")
    sub.add_argument("--tensorboard", metavar="DIR", help="folder for TensorBoard's logs (needs tensorboardX)")
    threads = [sub]
    sub = command(predict, "model", "data")
    sub.add_argument("--out", metavar="FILE", help="CSV to write (default: to the terminal)")
    sub.add_argument("--probabilities", action="store_true", help="a column for each class, not its name")
    threads.append(sub)
    sub = command(evaluate, "model", "data")
    sub.add_argument("--target", help="default: the one that the model was trained for")
    threads.append(sub)
    sub = command(inspect, "model")
    sub.add_argument("--plot", metavar="FILE", help="picture of the kernels to write: .png, .svg or .pdf (needs "
                                                    "matplotlib)")
    sub = command(bench)
    sub.add_argument("--quick", action="store_true", help="a fifth of the time, coarser figures")
    sub.add_argument("--all", action="store_true", help="the largest work too")
    threads.append(sub)
    for sub in threads:
        sub.add_argument("--threads", type=_integer(1), metavar="N", help="at most this many (default: the cores)")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments without the command's name; those of the process by default.

    Returns
    -------
    int
        0; 2 after an error, which is one line on stderr and says so where the model was saved before it; 130 after
        Ctrl-C.
    """
    try:
        args = _parser().parse_args(argv)
        args.run(args)
        sys.stdout.flush()
    except SystemExit as end:  # --help and --version
        return int(end.code or 0)
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    except BrokenPipeError:  # as in `fastnn inspect ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        name = f"{os.fsdecode(error.filename)}: " if error.filename is not None else ""
        return _fail(f"error: {name}{error.strerror or error}", 2)
    except (ValueError, TypeError, ArithmeticError, MemoryError, ImportError) as error:
        return _fail(f"error: {error or type(error).__name__}", 2)
    return 0


def _fail(message: str, code: int) -> int:
    print(f"fastnn: {' '.join(message.split())}", file=sys.stderr)
    return code
