"""What a model makes of samples: confusion matrix, residuals, importance of features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnn.inputs import check_count
from fastnn.named import listed
from fastnn.weights.plot.figure import CYCLE, GUIDE, bounds, colour, ink, library, new_axes, panels, plain, thousands

__all__ = ["confusion_matrix", "importance", "residuals"]

Axes = Any
Array = NDArray[Any]

WRITTEN = 16        # classes up to which counts are written into the cells
LETTERS = 24        # of a class
POINTS = 5000       # drawn of a scatter


def confusion_matrix(y_true: ArrayLike, y_pred: ArrayLike, names: Sequence[Any] | None = None, *,
                     ax: Axes = None) -> Axes:
    """Draw how often each class was taken for which.

    Colours are shares of the true class, a row, and numbers are counts; these are left out above 16 classes.

    Parameters
    ----------
    y_true : array-like (n,) or (n, classes)
        Classes, or one column each with a single one in a row. Several labels at once have a matrix for each column.
    y_pred : array-like (n,) or (n, classes)
        Classes, or what `predict` returns for them: the largest is taken, of one column, which must be of
        probabilities, what is at least 0.5.
    names : list of str, optional
        Of the classes, in ascending order of their labels; for labels that are integers of 0, 1, ...
    ax : matplotlib.axes.Axes, optional
        A new figure by default.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError, ValueError
        If there are no samples, not as many of both, NaN among them, numbers that are no classes, classes for which
        the other one has no column, or fewer names than classes.

    Examples
    --------
    >>> import fastnn as fnn
    >>> ax = fnn.weights.plot.confusion_matrix([0, 0, 1, 1], [0, 1, 1, 1], names=["cat", "dog"])
    >>> [text.get_text() for text in ax.texts], ax.get_title()
    (['1', '1', '0', '2'], '75.0 % of 4 right')
    """
    given = _rows("y_true", y_true), _rows("y_pred", y_pred)
    if len(given[0]) != len(given[1]) or not len(given[0]):
        raise ValueError("y_true and y_pred must have as many samples, one at least; received {} and {}".format(
            *map(len, given)))
    true, predicted = _true(given[0]), _predicted(given[1])
    _check_range("y_true", true, "y_pred", given[1])
    _check_range("y_pred", predicted, "y_true", given[0])
    labels, counts = _counts(true, predicted, names)
    k = len(labels)
    rows = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, rows, out=np.zeros(counts.shape), where=rows > 0)
    new = ax is None
    ax = new_axes(ax)
    if new and k > 8:
        ax.get_figure().set_size_inches(7.5, 6.2)
    image = ax.imshow(shares, cmap="Blues", vmin=0, vmax=1, interpolation="nearest", origin="upper")
    ax.get_figure().colorbar(image, ax=ax, label="share of the true class")
    if k <= WRITTEN:
        for i, j in np.ndindex(k, k):
            ax.text(j, i, str(counts[i, j]), ha="center", va="center", color="w" if shares[i, j] > 0.5 else "k",
                    fontsize=min(10.0, 110 / k))
    step = -(-k // 25)
    long = max(map(len, labels)) > (3 if k > 5 else 8)
    size = 10 if k <= 12 else 7
    ax.set_xticks(range(0, k, step), labels[::step], rotation=90 if long else 0, fontsize=size)
    ax.set_yticks(range(0, k, step), labels[::step], fontsize=size)
    ax.set_xlabel("predicted class")
    ax.set_ylabel("true class")
    ax.set_title(f"{np.trace(counts) / len(true):.1%} of {thousands(len(true))} right".replace("%", " %"))
    return ax


def _rows(what: str, y: ArrayLike) -> Array:
    """(n,), or (n, classes) of several."""
    array = np.asarray(y)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError(f"{what} must be finite; received NaN or infinity")
    if array.ndim not in (1, 2):
        raise ValueError(f"{what} must have the shape (n,) or (n, classes); received {array.shape}")
    array = array.ravel() if array.ndim == 1 or array.shape[1] == 1 else array
    return array.astype(np.int64) if array.dtype.kind == "b" or _whole(array) else array


def _whole(array: Array) -> bool:
    """Whether these are integers that are written as floats."""
    return array.dtype.kind == "f" and bool(np.equal(array, np.rint(array)).all())


def _true(y: Array) -> Array:
    """Labels (n,)."""
    if y.ndim == 2 and not (np.isin(y, (0, 1)).all() and (np.count_nonzero(y, axis=1) == 1).all()):
        raise ValueError("y_true of several columns must have a single one in each row, and zeros; of several labels "
                         "at once give one column after the other")
    if y.dtype.kind == "f":
        raise ValueError(f"y_true must hold classes; received {y[np.argmax(y != np.rint(y))]:g}, which is none: "
                         "residuals() draws numbers")
    return y.argmax(axis=1) if y.ndim == 2 else y


def _predicted(y: Array) -> Array:
    """Labels (n,), of those themselves or of numbers for classes."""
    if y.ndim == 2:
        return y.argmax(axis=1)
    if y.dtype.kind == "f":
        if y.min() < 0 or y.max() > 1:
            raise ValueError("y_pred of one column must hold classes or probabilities in [0, 1]; received numbers from "
                             f"{y.min():g} to {y.max():g}: of logits give y_pred >= 0")
        return (y >= 0.5).astype(np.int64)
    return y


def _check_range(what: str, labels: Array, other: str, rows: Array) -> None:
    """Labels must be of the classes that the columns of the other one stand for."""
    k = rows.shape[1] if rows.ndim == 2 else 2 if rows.dtype.kind == "f" else None
    if k is not None and labels.dtype.kind in "iu" and (labels.min() < 0 or labels.max() >= k):
        raise ValueError(f"{what} has classes from {labels.min()} to {labels.max()}, but the columns of {other} are of "
                         f"the classes 0 to {k - 1}: give {other} as labels, as in classes[{other}.argmax(axis=1)]")


def _counts(true: Array, predicted: Array, names: Sequence[Any] | None) -> tuple[list[str], NDArray[np.int64]]:
    if len({array.dtype.kind in "iu" for array in (true, predicted)}) > 1:
        raise TypeError(f"y_true and y_pred must hold labels of one kind; received dtypes {true.dtype} and "
                        f"{predicted.dtype}")
    labels, places = np.unique(np.concatenate([true, predicted]), return_inverse=True)
    given = labels if names is None else listed("names", names, "a list of names")
    texts = [plain(name, LETTERS) for name in given]
    if names is not None:
        if labels.dtype.kind in "iu" and labels[0] >= 0 and labels[-1] < len(texts):
            places = labels[places]     # a class that does not occur has its row, too
        elif len(texts) != len(labels):
            raise ValueError(f"names must name the {len(labels)} classes {_few(labels)}; received {len(texts)}")
    k = len(texts)
    i, j = places[:len(true)], places[len(true):]
    return texts, np.bincount(i * k + j, minlength=k * k).reshape(k, k)


def _few(labels: Array) -> str:
    return ", ".join(map(str, labels[:6])) + (", ..." if len(labels) > 6 else "")


@np.errstate(over="ignore", invalid="ignore")   # of outputs of a training that diverged
def residuals(y_true: ArrayLike, y_pred: ArrayLike, *, ax: Any = None) -> Any:
    """Draw predicted over true numbers, and how the errors are distributed.

    Parameters
    ----------
    y_true, y_pred : array-like (n,) or (n, outputs)
        At most 5000 points are drawn, at even distances; figures are of all of them. R2 is as scikit-learn's
        ``r2_score`` has it: of several outputs the mean of theirs, which the legend tells.
    ax : matplotlib.axes.Axes or two of them, optional
        One in whose place they are drawn; a new figure by default.

    Returns
    -------
    ndarray of two matplotlib.axes.Axes

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError, ValueError
        If there are no samples, not as many of both, or some are not finite.

    Examples
    --------
    >>> import fastnn as fnn
    >>> axes = fnn.weights.plot.residuals([1.0, 2.0, 3.0], [1.5, 2.0, 2.5])
    >>> axes[0].get_title()
    'R2 = 0.750, RMSE = 0.408'
    """
    true, predicted = (_columns(what, y) for what, y in (("y_true", y_true), ("y_pred", y_pred)))
    if true.shape != predicted.shape or not true.size:
        raise ValueError("y_true and y_pred must have one shape, of one sample at least; received "
                         f"{np.shape(y_true)} and {np.shape(y_pred)}")
    errors = predicted - true
    first, second = axes = panels(ax, 2, size=(3.6, 3.2))
    outputs = true.shape[1]
    step = -(-true.size // POINTS)
    r2 = _r2(true, errors)
    for i in range(outputs):
        first.plot(true[::step, i], predicted[::step, i], ".", markersize=4, alpha=0.6, color=colour(i),
                   label=f"output {i}: R2 = {r2[i]:.3f}", rasterized=True)
    both = np.concatenate([true, predicted])
    first.axline((float(both.mean()),) * 2, slope=1, color=GUIDE, linewidth=1, linestyle="--", label="true = predicted",
                 zorder=3)
    if 1 < outputs <= 8:
        first.legend(fontsize="small")
    rmse = float(np.sqrt(np.mean(np.square(errors))))
    first.set_title(f"{'mean ' * (outputs > 1)}R2 = {r2.mean():.3f}, RMSE = {rmse:.3g}", fontsize="medium")
    first.set_xlabel("true")
    first.set_ylabel("predicted")
    counts, edges = np.histogram(errors, min(50, max(5, int(np.sqrt(errors.size)))), bounds(errors))
    second.stairs(counts, edges, fill=True, color=CYCLE[0])
    second.axvline(0, color=ink(), linewidth=0.8)
    second.axvline(float(errors.mean()), color=CYCLE[1], linestyle="--", label=f"mean {errors.mean():.2g}")
    second.set_title(f"{thousands(errors.size)} residuals, std {errors.std():.2g}", fontsize="medium")
    second.set_xlabel("predicted - true")
    second.set_ylabel("count")
    second.legend(fontsize="small")
    return axes


def _r2(true: NDArray[np.float64], errors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of each column; a constant one has 1 where all predictions are exact, else 0."""
    spread, rest = (np.sum(np.square(part), axis=0) for part in (true - true.mean(axis=0), errors))
    return np.where(spread > 0, 1 - rest / np.where(spread > 0, spread, 1.0), rest == 0)


def _columns(what: str, y: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(y)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{what} must hold real numbers; received dtype {array.dtype}")
    if array.ndim not in (1, 2):
        raise ValueError(f"{what} must have the shape (n,) or (n, outputs); received {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{what} must be finite; received NaN or infinity")
    return np.atleast_2d(array.T).T.astype(np.float64)


def importance(values: Any, names: Sequence[Any] | None = None, std: ArrayLike | None = None, *, n: int = 20,
               ax: Axes = None) -> Axes:
    """Draw the importance of features as bars, the largest on top.

    Parameters
    ----------
    values : array-like (features,), dict of str to float, or Bunch
        A number a feature, or what `fastnn.weights.permutation_importance` returns.
    names : list of str, optional
        Of the features; their numbers by default.
    std : array-like (features,), optional
        Drawn as whiskers.
    n : int, default 20
        Most features to draw, those of the largest values.
    ax : matplotlib.axes.Axes, optional
        A new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
        Features whose value is not finite are not drawn; the title counts them.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError, ValueError
        If there is not one number a feature, or there are not as many names or deviations.

    Examples
    --------
    >>> import fastnn as fnn
    >>> ax = fnn.weights.plot.importance([0.1, 0.7, 0.2], names=["age", "income", "height"])
    >>> [tick.get_text() for tick in ax.get_yticklabels()]
    ['income', 'height', 'age']
    """
    if hasattr(values, "importances_mean"):
        values, std = values.importances_mean, values.importances_std if std is None else std
    elif isinstance(values, Mapping):
        names, values = (list(values) if names is None else names), list(values.values())
    numbers = _features("values", values)
    spread = None if std is None else _features("std", std, len(numbers))
    if spread is not None and (spread < 0).any():
        raise ValueError(f"std must be at least 0; received {spread.min():g}")
    names = None if names is None else listed("names", names, "a list of names")
    if names is not None and len(names) != len(numbers):
        raise ValueError(f"names must name the {len(numbers)} features; received {len(names)}")
    known = np.flatnonzero(np.isfinite(numbers))
    order = known[np.argsort(-numbers[known], kind="stable")][:check_count("n", n)]
    if not len(order):
        raise ValueError("no value is finite: there is nothing to draw")
    labels = [str(i) if names is None else str(names[i]) for i in order]
    labels = [plain(label, 31) for label in labels]
    new = ax is None
    ax = new_axes(ax)
    if new:
        ax.get_figure().set_size_inches(6.4, max(2.4, 1.2 + 0.24 * len(order)))
    ax.barh(range(len(order)), numbers[order], color=CYCLE[0], xerr=None if spread is None else spread[order],
            error_kw={"elinewidth": 1, "capsize": 2, "ecolor": "0.2"})
    ax.set_yticks(range(len(order)), labels)
    ax.set_ylim(len(order) - 0.4, -0.6)
    ax.axvline(0, color=ink(), linewidth=0.8)
    ax.xaxis.set_major_locator(library().ticker.MaxNLocator(6))
    ax.set_xlabel("importance" if spread is None else "importance (whiskers: one standard deviation)")
    ax.set_ylabel("feature")
    most = f"the {len(order)} largest of {thousands(len(numbers))}" if len(order) < len(known) else f"{len(order)}"
    bad = len(numbers) - len(known)
    ax.set_title(f"importance of features: {most}" + (f", {bad} not finite" if bad else ""))
    return ax


def _features(what: str, values: Any, n: int | None = None) -> NDArray[np.float64]:
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{what} must hold a number for each feature; received dtype {array.dtype}")
    if array.ndim != 1 or not array.size or n not in (None, array.size):
        size = "one number a feature, as np.abs(values).mean(axis=...) makes of more" if n is None else f"{n} numbers"
        raise ValueError(f"{what} must be {size}; received shape {array.shape}")
    return array.astype(np.float64)
