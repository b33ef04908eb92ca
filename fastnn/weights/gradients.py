"""diagnose_gradients: whether gradients reach the first layers, and what to change where they do not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn._kernels.threads import effective_n_threads
from fastnn.initializers import compute_fans
from fastnn.layers import PReLU, SparseDense, SReLU
from fastnn.layers.base import Layer
from fastnn.model import Sequential
from fastnn.sparse_inputs import refuse_sparse
from fastnn.weights.backward import loss_gradient, pulled_back, training_outputs
from fastnn.weights.statistics import table
from fastnn.weights.transfer import named_weights

__all__ = ["GradientReport", "LayerGradients", "diagnose_gradients"]

Array = NDArray[Any]

# A stack that loses (gains) a factor of a hundred trains its first layers a hundred times slower (faster) than its last
# ones, under any single learning rate. He's initialization keeps 20 layers of ReLU within a factor of 2, Glorot's 20
# of tanh within 3 to 4; 5 layers of sigmoid lose 300.
VANISHING, EXPLODING = 1e-2, 1e2
DEAD = 0.5         # part of a layer's units
INPUTS = 0.1, 10.0  # root mean square of inputs that initializers are made for

HE, GLOROT, LECUN = "he_normal", "glorot_uniform", "lecun_normal"
RECOMMENDED = dict.fromkeys(("relu", "leaky_relu", "relu6", "elu", "gelu", "gelu_tanh", "silu", "mish", "softplus",
                             "all_relu"), HE)
RECOMMENDED |= dict.fromkeys(("linear", "tanh", "sigmoid", "hard_sigmoid", "softsign", "softmax"), GLOROT)
RECOMMENDED |= {"selu": LECUN}
SIGMOIDS = ("sigmoid", "hard_sigmoid")
# The standard deviation that an initializer gives a kernel, for fan_in and fan_out.
DEVIATION = {HE: lambda n_in, n_out: math.sqrt(2 / n_in), GLOROT: lambda n_in, n_out: math.sqrt(2 / (n_in + n_out)),
             LECUN: lambda n_in, n_out: math.sqrt(1 / n_in)}
# A kernel's deviation over the recommended one, or under it, that is worth a word: Glorot's for ReLU is 1.4 off, which
# 20 layers make 800.
OFF = 1.25


@dataclass(frozen=True)
class LayerGradients:
    """What reaches a layer, forward and backward.

    Attributes
    ----------
    name : str
    activation : str
        Its own, or that of the `Activation` behind it.
    kernel_std : float or None
        Root mean square of its kernel.
    output_rms : float
        Root mean square of its outputs.
    dead : float
        Part of its units that give the same number for every sample.
    gradient_rms : float
        Root mean square of the gradient of a sample's loss with respect to the layer's outputs.
    weight_gradient_norm : float
        Norm of the gradient of the mean loss with respect to the layer's weights; 0 where it is frozen.
    """

    name: str
    activation: str
    kernel_std: float | None
    output_rms: float
    dead: float
    gradient_rms: float
    weight_gradient_norm: float


@dataclass(frozen=True, repr=False)
class GradientReport:
    """What `diagnose_gradients` found; printed it is a table with advice.

    Attributes
    ----------
    layers : tuple of LayerGradients
        Those with weights, but for the model's last layer.
    ratio : float
        ``gradient_rms`` of the first of them over that of the last; NaN where that is zero.
    verdict : {"vanishing", "exploding", "healthy"}
        By the ratio: below 0.01, above 100, between.
    advice : tuple of str
        What to change; empty if nothing is to be said.
    """

    layers: tuple[LayerGradients, ...]
    ratio: float
    verdict: str
    advice: tuple[str, ...]

    def plot(self, ax: Any = None) -> Any:
        """Draw the gradients of the layers: see `fastnn.weights.plot.gradients`."""
        from fastnn.weights.plot import gradients

        return gradients(self, ax=ax)

    def __repr__(self) -> str:
        rows: list[tuple[str, ...]] = [("layer", "activation", "kernel std", "output rms", "dead", "gradient rms",
                                        "weight gradient")]
        for row in self.layers:
            std = "" if row.kernel_std is None else f"{row.kernel_std:.3g}"
            rows.append((row.name, row.activation, std, f"{row.output_rms:.3g}", f"{row.dead:.0%}",
                         f"{row.gradient_rms:.3g}", f"{row.weight_gradient_norm:.3g}"))
        return "\n".join([table(rows, 2), "", f"gradients: {self.verdict}; first layer over last: {self.ratio:.3g}",
                          *(f"- {line}" for line in self.advice)])


def diagnose_gradients(model: Sequential, x: Any, y: Any, *, n_threads: int | None = None) -> GradientReport:
    """Follow the gradient of the loss from the last layer to the first, and say what to change if it does not arrive.

    Layers act as in the first step of a training: with the statistics of the batch, dropout and noise.

    With `g[k]` the root mean square of the gradient with respect to the outputs of layer k, ``g[first] / g[last]``
    below 0.01 is called vanishing and above 100 exploding (Hochreiter, 1991; Glorot and Bengio, 2010). The norms
    of the weights' own gradients do not tell: where small kernels shrink signals as much as gradients, they
    shrink alike in all layers. Advice follows from the activations: He's initialization for the ReLU family
    (He, Zhang, Ren and Sun, 2015), Glorot's for tanh and its like (2010), LeCun's for SELU (Klambauer et al., 2017).

    Parameters
    ----------
    model : Sequential
        A built and compiled model of two layers or more that have weights; a fresh one tells most.
    x, y : array-like
        A batch of at least two samples, some hundred at most.
    n_threads : int, optional

    Returns
    -------
    GradientReport

    Raises
    ------
    TypeError, ValueError
        If the model is not built and compiled, has only one layer with weights, or as `fit` for `x` and `y`.
    DivergenceError
        If the loss is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn as fnn
    >>> layers = [fnn.layers.Dense(32, activation="sigmoid") for _ in range(8)]
    >>> model = fnn.Sequential([fnn.Input((10,)), *layers, fnn.layers.Dense(1)], seed=0)
    >>> model.compile("sgd", "mse")
    >>> x = np.random.default_rng(0).normal(size=(100, 10))
    >>> report = fnn.weights.diagnose_gradients(model, x, x[:, 0])
    >>> report.verdict
    'vanishing'
    >>> print(report.advice[0])
    sigmoid passes at most a quarter of a gradient on: use relu with he_normal, or tanh with glorot_uniform
    """
    own = named_weights(model, "model")
    refuse_sparse(x, "diagnose_gradients")
    threads = effective_n_threads(n_threads)
    with model._exclusively("diagnose_gradients", from_callback=True):
        data = model._built_data(x, y, None)
        if data.n < 2:
            raise ValueError(f"x must have at least two samples, or every unit would look dead; received {data.n}")
        rows_of_x: Any = data.keep[0]
        outputs = _outputs(model, rows_of_x, threads)
        gradients = _output_gradients(model, outputs, data, threads)
    of_weights = dict(zip(own, model.gradients(x, y, training=True, n_threads=threads), strict=True))
    places = [i for i, layer in enumerate(model.layers[:-1]) if layer.count_params()]
    if len(places) < (1 if model.layers[-1].count_params() else 2):
        raise ValueError("a gradient has a way to go in models of two layers with weights or more; received "
                         f"{model!r}")
    rows = tuple(_row(model, i, outputs[i], gradients[i], of_weights) for i in places)
    last = rows[-1].gradient_rms
    ratio = rows[0].gradient_rms / last if last else math.nan
    verdict = "vanishing" if ratio < VANISHING else "exploding" if ratio > EXPLODING else "healthy"
    return GradientReport(rows, ratio, verdict, tuple(_advice(model, rows, places, verdict, rows_of_x)))


def _outputs(model: Sequential, x: Array, threads: int) -> list[Array]:
    """Of all layers but the last, (n, n_outputs)."""
    found = [x]
    for layer in model.layers[:-1]:
        found.append(training_outputs(model, layer, found[-1], threads))
    return found[1:]


def _output_gradients(model: Sequential, outputs: Sequence[Array], data: Any, threads: int) -> list[Array]:
    """Of each sample's loss with respect to these."""
    layers = model.layers
    found = [loss_gradient(model, layers[-1:], outputs[-1], data, threads, training=True)] if outputs else []
    for i in range(len(layers) - 2, 0, -1):
        found.append(pulled_back(model, layers[i:i + 1], outputs[i - 1], found[-1], threads, training=True))
    return found[::-1]


def _row(model: Sequential, i: int, out: Array, gradient: Array, of_weights: dict[str, Array]) -> LayerGradients:
    layer = model.layers[i]
    units = out.reshape(-1, layer.output_shape[-1])
    inside = [array for name, array in of_weights.items() if name.startswith(f"{layer.name}.")]
    kernel = layer.weights.get("kernel")
    return LayerGradients(layer.name, _activation(model, i), None if kernel is None else _rms(kernel), _rms(out),
                          float(np.mean(units.min(axis=0) == units.max(axis=0))), _rms(gradient),
                          math.sqrt(sum(_rms(array) ** 2 * array.size for array in inside)))


def _activation(model: Sequential, i: int) -> str:
    """Of a layer, or of the next one behind it that has one, before the next kernel."""
    for layer in model.layers[i:]:
        if layer is not model.layers[i] and "kernel" in layer.weights:
            break
        if isinstance(layer, (PReLU, SReLU)):
            return "leaky_relu"
        name = getattr(getattr(layer, "activation", None), "name", "linear")
        if name != "linear":
            return str(name)
    return "linear"


def _rms(array: Array) -> float:
    with np.errstate(over="ignore"):  # infinite, then
        return math.sqrt(float(np.mean(np.square(array, dtype=np.float64))))


def _advice(model: Sequential, rows: Sequence[LayerGradients], places: Sequence[int], verdict: str,
            x: Array) -> list[str]:
    said = []
    if verdict != "healthy":
        if verdict == "vanishing" and any(row.activation in SIGMOIDS for row in rows):
            said.append(f"sigmoid passes at most a quarter of a gradient on: use relu with {HE}, or tanh with {GLOROT}")
        for row, i in zip(rows, places, strict=True):
            said += _initializer(model.layers[i], row, verdict)
        if not said:
            said.append("kernels have the sizes that suit their activations: put BatchNormalization or "
                        "LayerNormalization between the layers, or make them blocks of Residual")
        if verdict == "exploding":
            said.append("until then clipnorm=1.0 in the optimizer keeps steps small")
    for row in rows:
        if row.dead >= DEAD:
            said.append(f"{row.name}: {row.dead:.0%} of its units give the same number for every sample: a smaller "
                        "learning rate, leaky_relu, or new initial weights")
    size = _rms(x.astype(np.float64))
    if not INPUTS[0] <= size <= INPUTS[1]:
        said.append(f"inputs have a root mean square of {size:.3g}; initializers are made for about 1: scale them, as "
                    "with Rescaling")
    return said


def _initializer(layer: Layer, row: LayerGradients, verdict: str) -> list[str]:
    """A word on a kernel that is too small where gradients vanish, or too large where they explode."""
    wanted, kernel = RECOMMENDED.get(row.activation), layer.weights.get("kernel")
    if wanted is None or kernel is None or row.kernel_std is None:
        return []
    fans = layer.fans if isinstance(layer, SparseDense) else compute_fans(kernel.shape)
    right = DEVIATION[wanted](*fans)
    factor = row.kernel_std / right
    if (factor > 1 / OFF) if verdict == "vanishing" else (factor < OFF):
        return []
    return [f"{row.name} ({row.activation}): its kernel has a standard deviation of {row.kernel_std:.3g}; "
            f"kernel_initializer={wanted!r} would give {right:.3g}"]
