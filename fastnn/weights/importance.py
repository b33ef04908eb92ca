"""What matters: the importance of each weight, and of each feature of the input."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnn._kernels.threads import effective_n_threads
from fastnn.inputs import as_array, as_features, check_count, check_seed
from fastnn.layers import (
    Activation,
    ActivityRegularization,
    AlphaDropout,
    Dense,
    Dropout,
    Flatten,
    GaussianDropout,
    GaussianNoise,
    PReLU,
    Rescaling,
    Scale,
    SReLU,
)
from fastnn.layers.base import Layer
from fastnn.losses import as_labels
from fastnn.model import Sequential
from fastnn.named import one_of
from fastnn.weights._estimators import fitted_estimator
from fastnn.weights.backward import pulled_back
from fastnn.weights.transfer import named_weights

__all__ = ["connection_weights", "gradient_x_input", "importance", "permutation_importance"]

Array = NDArray[Any]

METHODS = ("magnitude", "taylor")
ROWS = 1024                             # of a piece of gradient_x_input
# Layers that mix no features.
PASSIVE = (Activation, ActivityRegularization, AlphaDropout, Dropout, Flatten, GaussianDropout, GaussianNoise, PReLU,
           SReLU)


# ---- weights -----------------------------------------------------------------------------------------------


def importance(model: Sequential, method: str = "magnitude", x: Any = None, y: Any = None, *,
               batch_size: int = 32, n_threads: int | None = None) -> dict[str, Array]:
    """How much each weight matters, by its size or by what the loss would lose without it.

    ``"magnitude"`` is ``|w|`` (Han, Pool, Tran and Dally, 2015). ``"taylor"`` is ``|w * g|``, the first-order
    estimate of how the loss changes if the weight becomes 0, averaged over batches with gradient ``g``
    (Molchanov et al., 2017).

    Parameters
    ----------
    model : Sequential
        A built model, for ``"taylor"`` a compiled one.
    method : {"magnitude", "taylor"}, default "magnitude"
    x, y : array-like
        Samples and targets for ``"taylor"``.
    batch_size : int, default 32
        Samples of a gradient. With all samples in one batch the gradients of a trained model cancel.
    n_threads : int, optional

    Returns
    -------
    dict of str to ndarray
        Numbers of at least 0 in the shape of each weight, by the names ``layer.weight``. Weights of frozen
        layers have no gradient: ``"taylor"`` gives 0.

    Raises
    ------
    TypeError, ValueError
        If `method` is unknown, or samples are missing or wrong.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn as fnn
    >>> model = fnn.Sequential([fnn.Input((2,)), fnn.layers.Dense(1, use_bias=False)], dtype="float64")
    >>> model.compile("sgd", "mse")
    >>> model.layers[0].kernel = [[3.0], [-1.0]]
    >>> fnn.weights.importance(model)["dense.kernel"].ravel()
    array([3., 1.])
    >>> fnn.weights.importance(model, "taylor", [[1.0, 1.0]], [0.0])["dense.kernel"].ravel()
    array([12.,  4.])
    """
    own = named_weights(model, "model")
    if one_of("method", method, METHODS) == "magnitude":
        return {name: np.abs(weight) for name, weight in own.items()}
    if x is None or y is None:
        raise ValueError("method='taylor' needs samples and targets: received "
                         f"{'neither' if x is y else 'x alone' if y is None else 'y alone'}")
    size = check_count("batch_size", batch_size)
    rows, targets = as_array(x, "x"), as_array(y, "y")
    n = len(rows) if rows.ndim else 0
    if not n or targets.shape[:1] != (n,):
        raise ValueError(f"x and y must have the same number of samples, at least one; received shapes {rows.shape} "
                         f"and {targets.shape}")
    found = {name: np.zeros_like(weight) for name, weight in own.items()}
    for start in range(0, n, size):
        part = slice(start, min(start + size, n))
        gradients = model.gradients(rows[part], targets[part], n_threads=n_threads)
        for (name, weight), gradient in zip(own.items(), gradients, strict=True):
            found[name] += np.abs(weight * gradient) * ((part.stop - part.start) / n)
    return found


# ---- features ----------------------------------------------------------------------------------------------


def gradient_x_input(model: Sequential, x: Any, output: int | ArrayLike | None = None, *,
                     n_threads: int | None = None) -> Array:
    """What each feature of each sample contributes to an output: ``x * d(output) / dx``.

    For a linear model it is exactly each feature's term. Behind a last softmax or sigmoid the output is taken
    before it, since a saturated one has no gradient. (Shrikumar, Greenside, Shcherbina and Kundaje, 2016.)

    Parameters
    ----------
    model : Sequential
        A built model.
    x : array-like (n, ...)
    output : int or array-like (n,) of int, optional
        Which output, for all samples or for each. Default: the largest one of each sample, the predicted class.
    n_threads : int, optional

    Returns
    -------
    ndarray
        Of the shape of x and the model's dtype. ``abs(...).mean(axis=0)`` ranks features over all samples.

    Raises
    ------
    TypeError, ValueError
        If the model is not built, `x` is not as for `predict`, or `output` is out of range.

    Examples
    --------
    >>> import fastnn as fnn
    >>> model = fnn.Sequential([fnn.Input((2,)), fnn.layers.Dense(1)], dtype="float64")
    >>> model.layers[0].kernel = [[3.0], [-1.0]]
    >>> fnn.weights.gradient_x_input(model, [[1.0, 1.0], [2.0, 5.0]])
    array([[ 3., -1.],
           [ 6., -5.]])
    """
    named_weights(model, "model")
    rows, shape = as_features(x, model.input_shape, "x", model.dtype)
    found = gradients_of_outputs(model, rows, output, n_threads)
    return np.multiply(found, rows, out=found, casting="same_kind").reshape(len(rows), *shape)


def gradients_of_outputs(model: Sequential, rows: Array, output: int | ArrayLike | None = None,
                         n_threads: int | None = None) -> Array:
    """(n, features): ``d(output) / dx`` as for `gradient_x_input`, of flat rows of the model's dtype."""
    threads, n, n_outputs = effective_n_threads(n_threads), len(rows), model.n_outputs
    if output is None:
        samples = rows.reshape(n, *(model.input_shape or ()))
        chosen = model.predict(samples, n_threads=threads).reshape(n, n_outputs).argmax(axis=1)
    else:
        given = np.asarray(output)
        if given.ndim == 0:
            given = np.full(n, given)
        try:
            chosen = as_labels(given, n, n_outputs)
        except ValueError as error:
            raise ValueError(f"output must be an integer in [0, {n_outputs}), or one for each of {n} samples: {error}"
                             ) from None
    found = np.empty(rows.shape, model.dtype)
    penalized = any(getattr(member, "activity_regularizer", None) is not None for member in model._family)
    with model._exclusively("gradient_x_input", from_callback=True):
        for start in range(0, n, ROWS):
            part = slice(start, start + ROWS)
            dy = np.zeros((len(rows[part]), n_outputs), model.dtype)
            dy[np.arange(len(dy)), chosen[part]] = 1
            gradient = pulled_back(model, model.layers, rows[part], dy, threads, logits=True)
            if penalized:  # penalties on activities are no part of the output
                gradient -= pulled_back(model, model.layers, rows[part], np.zeros_like(dy), threads, logits=True)
            found[part] = gradient
    return found


def connection_weights(model: Sequential) -> Array:
    """The product of all kernels: how strongly, and with which sign, each feature is connected with each output.

    It takes every activation for the identity, and so costs no samples; of the methods that read weights alone it
    ranked features best (Olden, Joy and Death, 2004). Features should have one scale.

    Parameters
    ----------
    model : Sequential
        A built model of `Dense` layers, `Rescaling`, and layers that mix no features, such as `Activation`,
        `Dropout`, `Flatten`. `model.fuse()` takes BatchNormalization into Dense layers.

    Returns
    -------
    ndarray (n_features, n_outputs), float64

    Raises
    ------
    ValueError
        If the model is not built or has another layer.
    TypeError
        If it is no model.

    Examples
    --------
    >>> import fastnn as fnn
    >>> model = fnn.Sequential([fnn.Input((2,)), fnn.layers.Dense(2, activation="relu"), fnn.layers.Dense(1)])
    >>> model.layers[0].kernel = [[1.0, 2.0], [0.0, 1.0]]
    >>> model.layers[1].kernel = [[1.0], [-1.0]]
    >>> fnn.weights.connection_weights(model)
    array([[-1.],
           [-1.]])
    """
    named_weights(model, "model")
    product = np.eye(model.layers[-1].n_outputs)  # from the outputs on: features may be a hundred thousand
    for layer in reversed(model.layers):
        product = _connected(layer, product)
    return product


def _connected(layer: Layer, product: Array) -> Array:
    if isinstance(layer, Dense):
        return np.asarray(layer.kernel, dtype=np.float64) @ product
    if isinstance(layer, (Rescaling, Scale)):
        return np.asarray(layer.scale, dtype=np.float64).reshape(-1, 1) * product
    if not isinstance(layer, PASSIVE):
        raise ValueError("connection weights are those of Dense, Rescaling and Scale, with layers that mix no features "
                         f"between them; received {layer!r}. model.fuse() takes BatchNormalization into Dense layers")
    return product


def permutation_importance(model: Sequential, x: Any, y: Any, *, scoring: Any = None, n_repeats: int = 5,
                           seed: int | None = None, n_threads: int | None = None) -> Any:
    """How much a score falls when the values of a feature are shuffled among the samples.

    Calls :func:`sklearn.inspection.permutation_importance`; ``pip install 'fastnn[sklearn]'``. (Breiman, 2001;
    Fisher, Rudin and Dominici, 2019.) Use samples that the model was not trained on.

    Parameters
    ----------
    model : Sequential
        A built and compiled model.
    x, y : array-like
        As for `evaluate`.
    scoring : str, callable or list, optional
        As in scikit-learn: ``"accuracy"``, ``"roc_auc"``, ``"r2"`` ... Default: minus the compiled loss.
    n_repeats : int, default 5
        Shuffles of each feature.
    seed : int, optional
        Makes it repeatable.
    n_threads : int, optional
        Of each prediction.

    Returns
    -------
    sklearn.utils.Bunch
        ``importances_mean`` and ``importances_std`` (n_features,), ``importances`` (n_features, n_repeats); a dict
        of them by name for several scores.

    Raises
    ------
    ImportError
        If scikit-learn is not installed.
    TypeError, ValueError
        As `evaluate`, and as scikit-learn for `scoring`.
    """
    named_weights(model, "model")
    rows, shape = as_features(x, model.input_shape, "x", model.dtype)
    repeats, state = check_count("n_repeats", n_repeats), check_seed(seed)
    try:
        from sklearn.inspection import permutation_importance as permuted
    except ImportError as error:
        raise ImportError("permutation_importance calls scikit-learn's, which is not installed: "
                          "pip install 'fastnn[sklearn]'") from error
    model.evaluate(x, y, n_threads=n_threads)  # says what is wrong with y
    return permuted(fitted_estimator(model, shape, n_threads), rows, as_array(y, "y"), scoring=scoring,
                    n_repeats=repeats, random_state=state)
