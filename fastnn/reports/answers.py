"""What the model answers on validation data, beside what is true."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.html import Html, table, tag
from fastnn.model import Sequential
from fastnn.reports.findings import Samples, most_confused, per_class, per_target
from fastnn.reports.pictures import beside, drawn, short, tile

__all__ = ["answers"]

Array = NDArray[Any]

MOST_CLASSES = 40   # in a table or a picture
WRONG = 12          # samples that are shown


def answers(samples: Samples, model: Sequential, names: Mapping[str, list[str] | None]) -> list[Html]:
    finite = samples.finite
    if not finite.any():
        return [tag("p", "No output is a number: there is nothing to compare.", class_="said bad")]
    if samples.task == "numbers":
        return _numbers(samples.y[finite], samples.outputs[finite], names["class_names"])
    known = names["class_names"] or [str(i) for i in range(samples.n_classes)]
    true, predicted = samples.true[finite], samples.predicted[finite]
    counts, figures = per_class(true, predicted, samples.n_classes)
    content = []
    if samples.task == "labels":
        whole, each = np.mean((true == predicted).all(axis=1)), np.mean(true == predicted)
        content.append(tag("p", f"All labels are right for {whole:.1%} of {len(true):,} samples, and {each:.1%} of the "
                                "labels by themselves."))
    else:
        content += _confusion(true, predicted, counts, known)
    content += _class_table(figures, known, "Label" if samples.task == "labels" else "Class")
    if samples.task == "classes" and len(model.input_shape or ()) > 1:
        content += _wrong(samples, known)
    return content


def _confusion(true: Array, predicted: Array, counts: Array, names: Sequence[str]) -> list[Html]:
    from fastnn.weights.plot import confusion_matrix

    right, most, n = int(counts.trace()), int(counts.sum(axis=1).max()), len(names)
    content = [tag("p", f"{right:,} of {len(true):,} samples are classified right, {right / len(true):.2%}; always "
                        f"answering the most frequent class would be right for {most / len(true):.2%}.")]
    if n <= MOST_CLASSES:
        size = min(6.2, 3.0 + 0.22 * n)
        content.append(beside(*drawn(
            lambda ax: confusion_matrix(true, predicted, [short(name, 16) for name in names], ax=ax),
            (size + 0.5, size - 0.4), "Confusion matrix: true classes in rows, predicted ones in columns; the table of "
                                      "pairs below names the largest entries off its diagonal")))
    pairs = [(short(names[i]), short(names[j]), f"{count:,}", f"{count / counts[i].sum():.1%}")
             for i, j, count in most_confused(counts)]
    if pairs:
        content += [tag("h3", "Most confused"),
                    table(("True class", "Taken for", "Samples", "Of the true class"), pairs, 2, label="Most confused")]
    return content


def _class_table(figures: Array, names: Sequence[str], what: str) -> list[Html]:
    f1 = np.nan_to_num(figures[:, 3], nan=-1.0)
    order = range(len(names)) if len(names) <= MOST_CLASSES else np.argsort(f1, kind="stable")[:MOST_CLASSES]
    rows = [(short(names[i]), f"{figures[i, 0]:,.0f}",
             *("none" if math.isnan(value) else (f"{value:.3f}", "warn" if value < 0.5 else "")
               for value in figures[i, 1:])) for i in order]
    seen = figures[:, 0] > 0
    mean = np.nan_to_num(figures[seen, 1:]).mean(axis=0) if seen.any() else np.zeros(3)
    rows.append(("mean", "", *(f"{value:.3f}" for value in mean)))
    left_out = f"The {MOST_CLASSES} of {len(names)} with the lowest F1; what is below 0.5 is marked." \
        if len(names) > MOST_CLASSES else "What is below 0.5 is marked."
    header = what, "Samples", "Precision", "Recall", "F1"
    return [tag("h3", f"By {what.lower()}"), table(header, rows, label=f"By {what.lower()}"),
            tag("p", left_out, class_="soft")]


def _wrong(samples: Samples, names: Sequence[str]) -> list[Html]:
    """The samples that the model is most sure of and wrong about."""
    shape = samples.x.shape[1:]
    images = samples.x[..., 0] if shape[2:] == (1,) else samples.x
    if images.ndim not in (3, 4) or (images.ndim == 4 and shape[2] != 3) or min(images.shape[1:3]) < 4:
        return []
    wrong = np.flatnonzero(samples.finite & (samples.true != samples.predicted))
    wrong = wrong[np.argsort(-samples.sureness[wrong], kind="stable")[:WRONG]]
    if not len(wrong):
        return []
    said = [(names[int(samples.true[i])], names[int(samples.predicted[i])]) for i in wrong]
    shown = [drawn(tile(np.asarray(images[i], np.float64), f"{short(true, 14)}\n→ {short(taken, 12)}"), (1.1, 1.4),
                   f"Sample {i}: {short(true)}, taken for {short(taken)}")
             for i, (true, taken) in zip(wrong, said, strict=True)]
    return [tag("h3", "Wrong though sure"), beside(*(picture for each in shown for picture in each)),
            tag("p", "True class → predicted class, those with the largest probability first.", class_="soft")]


def _numbers(true: Array, predicted: Array, names: Sequence[str] | None) -> list[Html]:
    from fastnn.weights.plot import residuals
    from fastnn.weights.plot.figure import plain

    n = true.shape[1]
    known = names or (["target"] if n == 1 else [f"output {i}" for i in range(n)])
    figures = per_target(true, predicted)
    order = range(n) if n <= MOST_CLASSES else np.argsort(np.nan_to_num(figures[:, 0]), kind="stable")[:MOST_CLASSES]
    rows = [(short(known[i]), *(("none", "") if math.isnan(value) else
                                 (f"{value:.4g}", "warn" if k == 0 and value < 0 else "")
                                 for k, value in enumerate(figures[i]))) for i in order]
    left_out = f"The {MOST_CLASSES} of {n} with the lowest R². " if n > MOST_CLASSES else ""

    def draw(*axes: Any) -> None:
        residuals(true, predicted, ax=axes)
        legend = axes[0].get_legend()
        for text, name in zip(legend.get_texts() if legend and n > 1 else (), known, strict=False):
            text.set_text(f"{plain(short(name, 16))}: {text.get_text().partition(': ')[2]}")

    pictures = drawn(draw, (4.4, 3.6), "Predictions over true values", "Histogram of predictions minus true values")
    return [table(("", "R²", "Mean absolute error", "Root mean square", "Mean error"), rows, label="Errors"),
            beside(*pictures),
            tag("p", f"{left_out}An R² of 1 is perfect, one of 0 as good as always answering the mean. Errors are "
                     "predicted - true, in the target's units.", class_="soft")]
