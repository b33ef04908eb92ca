"""Kernels by their singular values, and vectors of many numbers as points of a plane."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnn.inputs import check_count
from fastnn.layers.base import Layer
from fastnn.model import Sequential
from fastnn.named import one_of
from fastnn.sparse_inputs import Csr
from fastnn.weights.plot.figure import (
    BAD,
    CYCLE,
    MANY,
    MARKERS,
    colour,
    legend,
    library,
    log_limits,
    new_axes,
    plain,
    style,
    thousands,
)
from fastnn.weights.plot.select import layer_of, layers_with_kernels, matrix_of, some
from fastnn.weights.statistics import layer_outputs

__all__ = ["activations", "singular_values", "weight_vectors"]

Axes = Any
Array = NDArray[Any]

METHODS = ("pca", "tsne")
WHOLE = 2048            # shorter side up to which all singular values are computed
LARGEST = 100           # else so many
NUMBERS = 20_000_000    # of all vectors that are projected
FEW = 300               # shorter side up to which a plane comes from all singular values
MOST_LABELS = 60        # in a legend
CLASSES = 20            # different integers up to which they are labels, not amounts


def singular_values(model: Sequential, layers: Any = None, *, ax: Axes = None) -> Axes:
    """Draw the singular values of kernels, the largest first, on a logarithmic axis.

    The legend tells rank and condition, the largest over the smallest: values that fall steeply say that fewer units
    would do. Of kernels whose shorter side is above 2048 the 100 largest are computed, which takes seconds.

    Parameters
    ----------
    model : Sequential
        A built model.
    layers : list of str, int or Layer, optional
        All with kernels by default. A convolution's kernel is the matrix (window, filters).
    ax : matplotlib.axes.Axes, optional
        A new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
        The legend says which kernels are not finite; they have no line.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError, ValueError
        If the model is not built, or has no such layer, or a layer no kernel.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn as fnn
    >>> model = fnn.Sequential([fnn.Input((2,)), fnn.layers.Dense(2, use_bias=False)])
    >>> model.set_weights([np.diag([4.0, 2.0])])
    >>> fnn.weights.plot.singular_values(model).get_lines()[0].get_label()
    'dense: rank 2 of 2, condition 2'
    """
    chosen = layers_with_kernels(model, layers)
    ax = new_axes(ax)
    drawn: list[Array] = [np.empty(0)]
    for i, layer in enumerate(chosen):
        name, matrix = matrix_of(model, layer)
        values, label = _spectrum(matrix)
        positive = values[values > 0]
        ax.plot(np.arange(1, len(positive) + 1), positive, label=f"{plain(name)}: {label}", marker=".",
                markersize=3 if len(positive) > 20 else 6, **style(i))
        drawn.append(positive)
    log_limits(ax, np.concatenate(drawn))
    ax.xaxis.set_major_locator(library().ticker.MaxNLocator("auto", integer=True))
    ax.set_xlabel("index, the largest first")
    ax.set_ylabel("singular value")
    ax.set_title("singular values of kernels")
    legend(ax, len(chosen))
    return ax


def _spectrum(matrix: Any) -> tuple[Array, str]:
    """Singular values in descending order, and what is to be said of them."""
    least = min(matrix.shape)
    if not np.isfinite(matrix.data if hasattr(matrix, "tocsr") else matrix).all():
        return np.empty(0), "not finite"
    if least > WHOLE:
        from scipy.sparse.linalg import svds

        start = np.random.default_rng(0).normal(size=least)
        found = svds(matrix.astype(np.float64), k=LARGEST, v0=start, return_singular_vectors=False)
        return np.sort(found)[::-1], f"{LARGEST} largest of {least}"
    dense = matrix.toarray() if hasattr(matrix, "tocsr") else matrix
    values = np.linalg.svd(dense.astype(np.float64), compute_uv=False)
    tolerance = values[0] * max(matrix.shape) * float(np.finfo(dense.dtype).eps)   # that of numpy.linalg.matrix_rank
    rank = int(np.count_nonzero(values > tolerance))
    condition = "" if not rank else f", condition {values[0] / values[-1]:.2g}" if rank == least else ", condition inf"
    return values[:rank], f"rank {rank} of {least}{condition}"


@np.errstate(over="ignore", invalid="ignore")   # of weights of a training that diverged
def weight_vectors(model: Sequential, layer: Any, method: str = "pca", *, most: int = 2000, ax: Axes = None) -> Axes:
    """Draw the units of a layer as points: those with alike weights lie side by side, colours are norms.

    Parameters
    ----------
    model : Sequential
        A built model.
    layer : str, int or Layer
        With at least 3 units. Of an `Embedding` the points are its categories.
    method : {"pca", "tsne"}, default "pca"
        The plane of the largest variance, or scikit-learn's t-SNE, where only neighbourhoods mean something.
    most : int, default 2000
        Units to draw, of more some at random, always the same.
    ax : matplotlib.axes.Axes, optional
        A new figure by default.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ImportError
        If matplotlib, or for t-SNE scikit-learn, is not installed.
    TypeError, ValueError
        If the model is not built, or has no such layer, or the layer too few units, or weights are not finite.

    Examples
    --------
    >>> import fastnn as fnn
    >>> model = fnn.Sequential([fnn.Input((20,)), fnn.layers.Dense(50)], seed=0)
    >>> fnn.weights.plot.weight_vectors(model, 0).get_title()
    'dense: 50 units by their weights'
    """
    one_of("method", method, METHODS)
    name, matrix = matrix_of(model, layer)
    table = "embeddings" in layer_of(model, layer).weights
    n, width = matrix.shape if table else matrix.shape[::-1]
    chosen = _some(n, width, most)
    vectors = matrix[chosen] if table else matrix[:, chosen].T
    vectors = np.asarray(vectors.toarray() if hasattr(vectors, "tocsr") else vectors, np.float64)
    points, labels = _plane(vectors, method, f"the weights of layer {name!r}", "categories" if table else "units")
    ax = new_axes(ax)
    dots = ax.scatter(*points.T, c=np.linalg.norm(vectors, axis=1), cmap="viridis", s=_size(len(points)))
    ax.get_figure().colorbar(dots, ax=ax, label="norm of the weights")
    what = "categories" if table else "units"
    some = f"{thousands(len(chosen))} of {thousands(n)} {what}" if len(chosen) < n else f"{thousands(n)} {what}"
    _finish(ax, labels, f"{plain(name)}: {some} by their weights")
    return ax


def activations(model: Sequential, layer: Any, x: Any, y: ArrayLike | None = None, method: str = "pca", *,
                most: int = 2000, ax: Axes = None) -> Axes:
    """Draw samples as points by what a layer makes of them: what it sees as alike lies side by side.

    Parameters
    ----------
    model : Sequential
        A built model.
    layer : str, int or Layer
        Of ``model.layers``; layers inside a container have no outputs of their own.
    x : array-like or sparse matrix (n, ...)
        At least 3 samples.
    y : array-like (n,) or (n, classes), optional
        Colours: classes, which have a legend, or amounts, which have a colour bar. Samples whose y is not finite are
        grey.
    method : {"pca", "tsne"}, default "pca"
        The plane of the largest variance, or scikit-learn's t-SNE, where only neighbourhoods mean something.
    most : int, default 2000
        Samples to draw, of more some at random, always the same.
    ax : matplotlib.axes.Axes, optional
        A new figure by default.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ImportError
        If matplotlib, or for t-SNE scikit-learn, is not installed.
    TypeError, ValueError
        If the model is not built, or has no such layer, `x` is not as for `predict` or of too few samples, `y` has
        another length, or outputs are not finite.

    Examples
    --------
    >>> import fastnn as fnn
    >>> (x, y), _ = fnn.datasets.load_digits()
    >>> model = fnn.Sequential([fnn.layers.Flatten(), fnn.layers.Dense(16, "relu"), fnn.layers.Dense(10)], seed=0)
    >>> model.build(x.shape[1:])
    >>> ax = fnn.weights.plot.activations(model, "dense", x[:200], y[:200])
    >>> ax.get_title(), len(ax.get_legend().get_texts())
    ('dense: its outputs for 200 samples', 10)
    """
    one_of("method", method, METHODS)
    found = _outer(model, layer_of(model, layer))
    rows, _ = model._samples(x, "x")
    targets = None if y is None else _colours(y, rows.shape[0])
    chosen = _some(rows.shape[0], max(found.n_outputs, rows.shape[1]), most)
    samples = rows.dense(chosen) if isinstance(rows, Csr) else rows[chosen]
    samples = samples.reshape(len(chosen), *(model.input_shape or ()))
    outputs = next(out for one, out in layer_outputs(model, samples) if one is found)
    what = f"the outputs of layer {found.path!r}"
    points, labels = _plane(outputs.reshape(len(chosen), -1).astype(np.float64), method, what, "samples")
    ax = new_axes(ax)
    _dots(ax, points, None if targets is None else targets[chosen])
    n = rows.shape[0]
    some = f"{thousands(len(chosen))} of {thousands(n)}" if len(chosen) < n else thousands(n)
    _finish(ax, labels, f"{plain(found.path)}: its outputs for {some} samples")
    return ax


def _outer(model: Sequential, layer: Layer) -> Layer:
    if not any(layer is one for one in model.layers):
        outer = next(one for one in model.layers if any(layer is member for member in one.family()))
        raise ValueError(f"layer {layer.path!r} stands inside {outer.path!r} and has no outputs of its own: give "
                         f"{outer.path!r} or another of {', '.join(one.path for one in model.layers)}")
    return layer


def _some(n: int, width: int, most: int) -> NDArray[np.intp]:
    """Which of `n` vectors are drawn."""
    return some(n, min(check_count("most", most, low=3), max(3, NUMBERS // max(1, width))))


def _plane(vectors: Array, method: str, what: str, rows: str) -> tuple[Array, tuple[str, str]]:
    """Points (n, 2) and the labels of the axes."""
    if len(vectors) < 3:
        raise ValueError(f"at least 3 {rows} are needed to draw them as points; received {len(vectors)}")
    if not np.isfinite(vectors).all():
        raise ValueError(f"{what} are not finite: NaN and infinity have no place in a plane")
    if method == "tsne":
        return _tsne(vectors), ("t-SNE 1", "t-SNE 2")
    centred = vectors - vectors.mean(axis=0)
    left, sizes = _largest(centred) if min(centred.shape) > FEW else np.linalg.svd(centred, full_matrices=False)[:2]
    points = np.zeros((len(vectors), 2))
    points[:, :len(sizes[:2])] = left[:, :2] * sizes[:2]
    shares = np.append(np.square(sizes), 0.0)[:2] / (float(np.sum(np.square(centred))) or 1.0)
    labels = [f"component {i + 1} ({share:.0%} of the variance)".replace("%", " %") for i, share in enumerate(shares)]
    return points, (labels[0], labels[1])


def _largest(centred: Array) -> tuple[Array, Array]:
    """Left singular vectors and values, the two largest."""
    from scipy.sparse.linalg import svds

    start = np.random.default_rng(0).normal(size=min(centred.shape))
    left, sizes, _ = svds(centred, k=2, v0=start)
    return left[:, ::-1], sizes[::-1]


def _tsne(vectors: Array) -> Array:
    try:
        from sklearn.manifold import TSNE
    except ImportError as error:
        raise ImportError('method="tsne" needs scikit-learn, which is not installed: pip install "fastnn[sklearn]", or '
                          'draw with method="pca"') from error
    flat = vectors.shape[1] < 2 or not np.ptp(vectors, axis=0).any()
    n = len(vectors)
    return np.asarray(TSNE(2, perplexity=min(30.0, (n - 1) / 3), init="random" if flat else "pca", random_state=0,
                           learning_rate="auto").fit_transform(vectors.astype(np.float32)))


def _size(n: int) -> float:
    return 30.0 if n <= 100 else 14.0 if n <= 500 else 7.0


def _colours(y: Any, n: int) -> Array:
    """Labels or amounts (n,)."""
    found = np.asarray(y)
    if found.ndim not in (1, 2) or len(found) != n:
        raise ValueError(f"y must have {n} entries, one for each sample; received shape {found.shape}")
    if found.dtype.kind == "O" and not all(isinstance(label, str) for label in found.flat):
        raise TypeError("y must hold classes or numbers; received an array of objects that are not all texts")
    if found.ndim == 2:
        found = found.argmax(axis=1) if found.shape[1] > 1 else found[:, 0]
    if found.dtype.kind not in "biuf" and (labels := len(np.unique(found))) > MOST_LABELS:
        raise ValueError(f"y has {labels:,} different classes; at most {MOST_LABELS} can be told apart")
    return found


def _dots(ax: Axes, points: Array, y: Array | None) -> None:
    size = _size(len(points))
    if y is None:
        ax.scatter(*points.T, color=colour(0), s=size)
        return
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        known = np.isfinite(y)
        ax.scatter(*points[~known].T, color=BAD, s=size, label="not finite")
        points, y = points[known], y[known]
    labels = np.unique(y)
    parts = y.dtype.kind == "f" and not np.equal(y, np.rint(y)).all()
    if parts or (len(labels) > CLASSES and y.dtype.kind in "iuf"):
        dots = ax.scatter(*points.T, c=y, cmap="viridis", s=size)
        ax.get_figure().colorbar(dots, ax=ax, label="y")
        return
    colours = CYCLE if len(labels) <= len(CYCLE) + 1 else MANY
    for i, label in enumerate(labels):
        ax.scatter(*points[y == label].T, color=colour(i, colours), marker=MARKERS[i % len(MARKERS)],
                   s=1.5 * size, linewidth=0, alpha=0.8, label=plain(label))
    ax.legend(fontsize="small", title="y", loc="upper left", bbox_to_anchor=(1.0, 1.0), markerscale=1.5,
              ncols=-(-len(labels) // CLASSES))


def _finish(ax: Axes, labels: tuple[str, str], title: str) -> None:
    ax.set_xlabel(labels[0])
    ax.set_ylabel(labels[1])
    ax.set_title(title)
