"""The page itself."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np

from fastnn._kernels.threads import effective_n_threads
from fastnn.callbacks.history import History, as_column
from fastnn.config import show_config
from fastnn.files import StrPath, check_output, check_path, write_file
from fastnn.html import Html, figure, page, table, tag
from fastnn.model import Sequential
from fastnn.notebooks import best_epoch, compiled, curves_table, duration, layer_rows, memory, shown_shape
from fastnn.reports.answers import answers
from fastnn.reports.findings import Samples, permuted
from fastnn.reports.health import health
from fastnn.reports.pictures import beside, drawn, short
from fastnn.schedules import LearningRateSchedule
from fastnn.version import __version__
from fastnn.weights.plot.figure import library

__all__ = ["report"]


@np.errstate(over="ignore", invalid="ignore")   # what a training that diverged left behind is told, too
def report(model: Sequential, history: Any = None, X_val: Any = None, y_val: Any = None,
           path: StrPath = "report.html", *, title: str | None = None, feature_names: Sequence[str] | None = None,
           class_names: Sequence[str] | None = None, note: str | None = None, n_threads: int | None = None) -> str:
    """Write one HTML page that tells of a training: curves, answers on validation data, weights, features, time.

    The page has its pictures inside, needs no network and no scripts, and is readable on phones and in the dark.

    Parameters
    ----------
    model : Sequential
        Built and compiled; of an estimator its ``model_``.
    history : History or dict of str to list of float, optional
        What `fit` returned; by default that of the model's last training, if there was one.
    X_val, y_val : array-like, sparse matrix or stream, optional
        Samples and targets as for `evaluate`, best such as were not trained on. Of a stream ``(x, y)``, given as
        `X_val`, the first 100000 rows. Without them there are no answers and no features in the page.
    path : str or path-like, default "report.html"
        Written in one step: a file that is there is replaced only by a whole one.
    title : str, optional
    feature_names, class_names : list of str, optional
        Of the input's features; of the classes, or of the outputs where these are no classes. By default those in
        ``model.metadata``, else numbers.
    note : str, optional
        Words of your own, at the top.
    n_threads : int, optional

    Returns
    -------
    str
        The path.

    Raises
    ------
    ImportError
        If matplotlib is not installed: ``pip install "fastnn[viz]"``.
    TypeError, ValueError
        If the model is not built or compiled, the history is empty or that of a model of other inputs or outputs, or
        samples or names do not fit.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> import fastnn as fnn
    >>> (x, y), (x_test, y_test) = fnn.datasets.load_digits()
    >>> model = fnn.Sequential([fnn.layers.Flatten(), fnn.layers.Rescaling(1 / 16),
    ...                         fnn.layers.Dense(32, "relu"), fnn.layers.Dense(10, "softmax")], seed=0)
    >>> model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    >>> history = model.fit(x, y, epochs=5, validation_data=(x_test, y_test), verbose=0)
    >>> fnn.report(model, history, x_test, y_test, "digits.html")
    'digits.html'
    """
    library("report")
    target = check_path("path", path)
    check_output(target, "report")
    past = _checked_history(_checked_model(model), history)
    names = _names(model, feature_names, class_names)
    if (X_val is None) and y_val is not None:
        raise ValueError("y_val was given without X_val")
    threads = effective_n_threads(n_threads)
    samples = None if X_val is None else Samples.of(model, X_val, y_val, threads)
    sections = [("summary", "Summary", _summary(model, past, samples, note, threads))]
    if past is not None:
        sections.append(("curves", "Curves", _curves(past)))
    if samples is not None:
        sections.append(("answers", "Answers", answers(samples, model, names)))
    sections.append(("weights", "Weights", health(model, None if samples is None else samples.x, threads)))
    if samples is not None:
        sections.append(("features", "Features", _features(model, samples, names, threads)))
    sections.append(("machine", "Time and machine", _machine(past, threads)))
    text = _document(title or f"Training of “{model.name}”", sections)
    write_file(target, text.encode("utf-8", "replace"))
    return target


# ---- the door ------------------------------------------------------------------------------------------------


def _checked_model(model: Any) -> Sequential:
    if not isinstance(model, Sequential):
        hint = "; of an estimator give its model_" if hasattr(model, "model_") else ""
        raise TypeError(f"model must be a fastnn.Sequential; received {model!r}{hint}")
    if not model.built:
        raise ValueError("the model is not built, so that it was never trained: fit it first")
    if model.loss is None:
        raise ValueError("the model is not compiled: its loss says what is to be reported; call compile first")
    return model


def _checked_history(model: Sequential, history: Any) -> History | None:
    own = model.history
    if history is None or (own is not None and history is own and own.diverged):
        history = own
        if own is None or not own.epoch:
            return None
    if isinstance(history, Mapping):
        found = History()
        found.history = {str(name): as_column(str(name), values).tolist() for name, values in history.items()}
        found.epoch = list(range(max(map(len, found.history.values()), default=0)))
        history = found
    if not isinstance(history, History):
        raise TypeError(f"history must be what fit returns, or its dict of lists; received {history!r}")
    if not history.epoch or not history.history.get("loss"):
        what = f"epochs of 'loss', only of {', '.join(map(repr, history.history))}" if history.epoch else \
            "epochs: the model was never trained with it; call fit first"
        raise ValueError(f"the history has no {what}, or give history=None for a page without curves")
    other = history.model
    if other is not None and other is not model:
        theirs, ours = ((m.input_shape, m.output_shape if m.built else None) for m in (other, model))
        if theirs != ours:
            raise ValueError(f"the history is that of another model, {other!r} for samples of shape {theirs[0]} and "
                             f"outputs {theirs[1]}; this one, {model!r}, has {ours[0]} and {ours[1]}")
    return history


def _names(model: Sequential, features: Any, classes: Any) -> dict[str, list[str] | None]:
    n_features, n_outputs = math.prod(model.input_shape or ()), model.n_outputs
    n_classes = 2 if n_outputs == 1 and model._loss.name == "binary_crossentropy" else n_outputs
    found: dict[str, list[str] | None] = {}
    for key, given, n in (("feature_names", features, n_features), ("class_names", classes, n_classes)):
        if given is None:
            given = model.metadata.get(key)
            fits = isinstance(given, list) and len(given) == n and all(isinstance(name, str) for name in given)
            found[key] = given if fits else None
            continue
        if isinstance(given, (str, bytes)) or not hasattr(given, "__len__"):
            raise TypeError(f"{key} must be a list of names; received {given!r}")
        if len(given) != n:
            raise ValueError(f"{key} must be {n} names, as the model has; received {len(given)}")
        found[key] = [str(name) for name in given]
    return found


# ---- sections ------------------------------------------------------------------------------------------------


def _document(title: str, sections: Sequence[tuple[str, str, Sequence[Html]]]) -> str:
    date = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z")
    links = tag("nav", *(tag("a", name, href=f"#{place}") for place, name, _ in sections), aria_label="sections")
    top = tag("header", tag("h1", title), tag("p", f"fastnn {__version__}, {date}", class_="soft"), links)
    parts = (tag("section", tag("h2", name, id=f"{place}-title"), *content, id=place,
                 aria_labelledby=f"{place}-title") for place, name, content in sections)
    return page(title, top, tag("main", *parts),
                tag("footer", tag("p", f"Written by fastnn.report of fastnn {__version__} on {date}.")))


def _summary(model: Sequential, history: History | None, samples: Samples | None, note: str | None,
             n_threads: int) -> list[Html]:
    total = model.count_params()
    facts: list[tuple[Any, ...]] = [
        ("Model", f"{short(model.name)}: samples of shape {shown_shape(model.input_shape or ())}, outputs "
                  f"{shown_shape(model.output_shape)}"),
        ("Parameters", f"{total:,} in {model.dtype}, {memory(total * np.dtype(model.dtype).itemsize)}"),
        ("Optimizer and loss", f"{compiled(model)}, as they are now")]
    said = [tag("p", note)] if note else []
    results: list[Html] = []
    if history is not None:
        said.append(_diagnosis(history))
        facts += _training_facts(history)
    else:
        said.append(_diagnosis(model.history) if model.history is not None and model.history.diverged else
                    tag("p", "There is no history: the model was loaded from a file, or not trained with fit."))
    if samples is not None:
        found = model.evaluate(samples.x, samples.y, return_dict=True, n_threads=n_threads)
        assert isinstance(found, dict)
        facts.append(("Validation data", f"{len(samples):,} samples of X_val"))
        results = [tag("h3", "Loss and metrics"), _results(found, history)]
        bad = int(np.count_nonzero(~samples.finite))
        if bad:
            said.insert(0, tag("p", f"The outputs for {bad:,} of {len(samples):,} samples of X_val are NaN or "
                                    "infinite.", class_="said bad"))
    layers = table(("Layer", "Type", "Activation", "Output shape", "Parameters"), layer_rows(model), 3,
                   label="Layers")
    return [*said, table((), facts, 1, facts=True), *results, tag("h3", "Layers"), layers]


def _diagnosis(history: History) -> Html:
    said = history.diagnose()
    kind = "said bad" if "diverging" in said else "said warn" if "fitting" in said else "said"
    return tag("p", said, class_=kind)


def _training_facts(history: History) -> list[tuple[Any, ...]]:
    first, last, planned = history.epoch[0] + 1, history.epoch[-1] + 1, history.params.get("epochs")
    said = f"{first:,} to {last:,}" if 1 < first < last else f"{last:,}"
    facts: list[tuple[Any, ...]] = [("Epochs", said + (f" of {planned:,}" if planned and planned > last else ""))]
    if history.params.get("batch_size"):
        facts.append(("Batch size", f"{history.params['batch_size']:,}"))
    if history.params.get("samples"):
        facts.append(("Trained on", f"{history.params['samples']:,} samples"))
    seconds = [second for second in history.seconds if math.isfinite(second)]
    if seconds:
        facts.append(("Training time", duration(sum(seconds))))
    return facts


def _results(found: Mapping[str, float], history: History | None) -> Html:
    """What `evaluate` says beside the last and the best epochs."""
    curves = {} if history is None else history.history
    rows = []
    for name, value in found.items():
        cells: list[Any] = [name, _marked(value)]
        for label in (name, f"val_{name}"):
            values = curves.get(label, [])
            cells.append(_marked(values[-1]) if values else "")
        label = f"val_{name}" if curves.get(f"val_{name}") else name
        values = curves.get(label, [])
        best = best_epoch(history, name, values)
        epochs = [] if history is None or not values else history.epochs_of(label)
        where = "" if best is None or best >= len(epochs) else f" in epoch {epochs[best] + 1}"
        rows.append((*cells, "" if best is None else f"{figure(values[best])}{where}"))
    validated = any(name.startswith("val_") for name in curves)
    return table(("", "on X_val", "last training", "last validation",
                  "best validation" if validated else "best training"), rows, label="Loss and metrics")


def _marked(value: float) -> Any:
    return figure(value) if math.isfinite(value) else (figure(value), "bad")


def _curves(history: History) -> list[Html]:
    from fastnn.weights.plot import curves

    names = list(dict.fromkeys(name.removeprefix("val_") for name, values in history.history.items() if values))
    optimizer = getattr(history.model, "optimizer", None)
    if isinstance(getattr(optimizer, "learning_rate", None), LearningRateSchedule) and history.params.get("steps"):
        names.append("learning_rate")
    pictures = [drawn(lambda ax, name=name: curves(history, name, ax=ax), (4.4, 3.1), f"Curve of {name} over epochs")
                for name in names]
    return [beside(*(picture for each in pictures for picture in each)), curves_table(history)]


# ---- features, time ------------------------------------------------------------------------------------------


def _features(model: Sequential, samples: Samples, names: Mapping[str, list[str] | None],
              n_threads: int) -> list[Html]:
    from fastnn.weights.plot import importance

    found = permuted(model, samples, n_threads)
    if found is None:
        return [tag("p", "The loss is not finite, or there is a single sample: no feature can be judged.",
                    class_="said warn")]
    known, shape = names["feature_names"], samples.x.shape[1:]
    labels = [known[i] if known else _place(i, shape) for i in found.features]
    looked = f"all {found.of:,}" if len(labels) == found.of else f"{len(labels)} of {found.of:,}, those that the " \
        "outputs depend on most,"
    drawn_of = f" of {len(samples):,}, drawn at random," if found.rows < len(samples) else ""
    said = tag("p", f"By how much the loss rises on {found.rows:,} samples{drawn_of} where the values of a feature are "
                    f"shuffled among them; {looked} were looked at.")
    shown = min(15, len(labels))
    pictures = drawn(lambda ax: importance(found.mean, [short(name, 28) for name in labels], found.std, n=shown,
                                           ax=ax).set_title(""),
                     (5.0, 1.3 + 0.26 * shown), f"Bars: {', '.join(map(str, labels[:3]))} matter most")
    rows = [(short(label), f"{mean:.4g}", f"{std:.2g}")
            for label, mean, std in zip(labels[:shown], found.mean, found.std, strict=False)]
    numbers = table(("Feature", "Rise of the loss", "Standard deviation"), rows, label="Features")
    return [said, beside(*pictures), tag("details", tag("summary", "The numbers"), numbers)]


def _place(feature: int, shape: tuple[int, ...]) -> str:
    place = tuple(map(int, np.unravel_index(feature, shape)))
    return f"feature {feature}" if len(shape) == 1 else "row {}, column {}".format(*place) if len(shape) == 2 \
        else str(place)


def _machine(history: History | None, n_threads: int) -> list[Html]:
    config = show_config(mode="dicts")
    assert config is not None
    seconds = np.array([] if history is None else [s for s in history.seconds if math.isfinite(s)])
    facts: list[tuple[Any, ...]] = []
    if history is not None and len(seconds):
        facts.append(("An epoch", f"{duration(float(np.median(seconds)))} (median of {len(seconds):,}; "
                                  f"{duration(seconds.min())} to {duration(seconds.max())}), with its validation"))
        if history.params.get("samples"):
            facts.append(("Speed", f"{history.params['samples'] / np.median(seconds):,.0f} samples a second"))
    said = "Times are those of the training; the machine is the one that wrote this page."
    return [tag("p", said, class_="soft"), table((), [*facts, *config.items(), ("threads of this page", n_threads)], 1,
                                                 facts=True)]
