"""The table of public kernels that the tests and the benchmarks iterate over.

A row names a function of fastnn.kernels (its twin in fastnn.reference has the same name), builds its
arguments for a shape and dtype, and says what of it holds: which arguments are rows of a batch, which are
updated in place, where its results may be written, how far it may be from the twin.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import scipy.sparse

from fastnn import kernels, reference

Arguments = tuple[tuple[Any, ...], dict[str, Any]]

# Allowed distance from the NumPy twin, in units of the dtype's eps: absolute, and relative to the twin's
# value. "sum" is for results of a reduction, whose order differs, and for what cancels after rounding, "products" for
# many of them in a row.
EPS = {"exact": 0, "element": 8, "sum": 64, "products": 1024}


def tolerance(kind: str, dtype: Any) -> float:
    """Absolute and relative tolerance of a kind of kernel."""
    return EPS[kind] * float(np.finfo(dtype).eps)


@dataclass(frozen=True)
class Kernel:
    name: str
    function: str
    build: Callable[[tuple[int, int, int], Any, np.random.Generator], Arguments]
    tolerance: str = "element"
    rows: tuple[int, ...] = ()  # positional arguments that are rows of a batch, if rows are independent
    in_place: tuple[int | str, ...] = ()  # arguments that are updated
    out: str = "out"  # keyword that takes the results' arrays: "out", "grad" or none
    arguments: dict[str, Any] = field(default_factory=dict)

    @property
    def kernel(self) -> Callable[..., Any]:
        return getattr(kernels, self.function)

    @property
    def twin(self) -> Callable[..., Any]:
        return getattr(reference, self.function)

    def make(self, shape: tuple[int, int, int], dtype: Any, seed: int = 0) -> Arguments:
        """Positional and keyword arguments for (rows, n_in, n_out); elementwise kernels: (rows, n_out)."""
        args, kwargs = self.build(shape, np.dtype(dtype), np.random.default_rng(seed))
        return args, kwargs | self.arguments


def normal(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any, scale: float = 1.0) -> np.ndarray:
    return (rng.standard_normal(shape) * scale).astype(dtype)


def elementwise(shape, dtype, rng, low=-6.0, high=6.0):
    rows, _, cols = shape
    return (rng.uniform(low, high, (rows, cols)).astype(dtype),), {}


def activation_forward(shape, dtype, rng, name):
    rows, _, cols = shape
    return (normal(rng, (rows, cols), dtype, 3), name), {}


def activation_backward(shape, dtype, rng, name):
    (z, _), _ = activation_forward(shape, dtype, rng, name)
    from_input = name in ("gelu", "gelu_tanh", "silu", "mish", "all_relu", *STEPS)
    saved = z if from_input or z.size == 0 else reference.activation_forward(z, name)
    return (normal(rng, z.shape, dtype), saved, name), {}


def dense_forward(shape, dtype, rng, name):
    rows, n_in, n_out = shape
    kernel = normal(rng, (n_in, n_out), dtype, max(n_in, 1) ** -0.5)
    return (normal(rng, (rows, n_in), dtype), kernel, normal(rng, (n_out,), dtype), name), {}


def dense_backward(shape, dtype, rng, name):
    (x, kernel, _, _), _ = dense_forward(shape, dtype, rng, name)
    dy, saved, _ = activation_backward(shape, dtype, rng, name)[0]
    return (dy * max(shape[0], 1) ** -0.5, x, kernel, saved, name), {}


def sparse_forward(shape, dtype, rng, name, density=0.3):
    """The kernel has empty rows and columns, where it has few entries."""
    (x, kernel, bias, _), _ = dense_forward(shape, dtype, rng, name)
    return (x, scipy.sparse.csr_array(kernel * (rng.random(kernel.shape) < density)), bias, name), {}


def sparse_backward(shape, dtype, rng, name):
    (dy, x, kernel, saved, _), _ = dense_backward(shape, dtype, rng, name)
    return (dy, x, scipy.sparse.csr_array(kernel * (rng.random(kernel.shape) < 0.3)), saved, name), {}


def compressed_rows(shape, dtype, rng, gradient=False, width=np.int32):
    """Sparse rows, the first one empty, and a kernel, or the gradient of what it gives."""
    rows, n_in, n_out = shape
    x = normal(rng, (rows, n_in), dtype) * (rng.random((rows, n_in)) < 0.4)
    x[:1] = 0
    row, column = x.nonzero()
    indptr = np.searchsorted(row, np.arange(rows + 1)).astype(width)
    if gradient:
        return (x[row, column], column.astype(width), indptr, normal(rng, (rows, n_out), dtype), n_in), {}
    return (x[row, column], column.astype(width), indptr, normal(rng, (n_in, n_out), dtype),
            normal(rng, (n_out,), dtype)), {}


def image_size(shape):
    """Height and width of samples for (rows, n_in, n_out): odd, even, flat."""
    return 5 + shape[1] % 4, 4 + shape[2] % 5


def conv2d_forward(shape, dtype, rng, name, size=(3, 2)):
    rows, n_in, filters = shape
    channels, filters = max(n_in // 2, 1), max(filters, 1)
    kernel = normal(rng, (*size, channels, filters), dtype, (channels * size[0] * size[1]) ** -0.5)
    return (normal(rng, (rows, *image_size(shape), channels), dtype), kernel, normal(rng, (filters,), dtype), name), {}


def conv2d_backward(shape, dtype, rng, name, size=(3, 2), **place):
    (x, kernel, _, _), _ = conv2d_forward(shape, dtype, rng, name, size)
    saved = reference.conv2d_forward(x, kernel, None, None if name == "gelu" else name, **place)
    dy = normal(rng, saved.shape, dtype, max(saved.size // saved.shape[3], 1) ** -0.5)
    return (dy, x, kernel, saved, name), place


def pooling_forward(shape, dtype, rng):
    rows, _, channels = shape
    return (normal(rng, (rows, *image_size(shape), max(channels, 1)), dtype),), {}


def max_pooling_backward(shape, dtype, rng, **place):
    """Few different numbers: many windows have two that are largest."""
    (x,), _ = pooling_forward(shape, dtype, rng)
    x = (2 * x).round()
    y = reference.max_pooling2d_forward(x, **place)
    return (normal(rng, y.shape, dtype), x, y), place


def average_pooling_backward(shape, dtype, rng, **place):
    (x,), _ = pooling_forward(shape, dtype, rng)
    y = reference.average_pooling2d_forward(x, **place)
    return (normal(rng, y.shape, dtype), x.shape[1:3]), place


def stochastic_round(shape, dtype, rng):
    rows, _, cols = shape
    return (rng.uniform(-1.2, 1.2, (rows, cols)).astype(dtype),), {}


def packed(shape, dtype, rng, values, name=None):
    """Words of random weights, and inputs that are 0 at some places, which counts as positive."""
    rows, n_in, n_out = shape
    planes = [reference.pack_bits(normal(rng, (n_out, n_in), dtype)) for _ in range(2)]
    words = np.stack([planes[0] & ~planes[1], planes[1] & ~planes[0]]) if values == "ternary" else planes[0]
    x = normal(rng, (rows, n_in), dtype) * (rng.random((rows, n_in)) < 0.9)
    return (x.astype(dtype), words, normal(rng, (n_out,), dtype), name), {"values": values}


def gather(shape, dtype, rng, source):
    rows, n_in, cols = shape
    x = rng.integers(0, 100, (n_in + 1, cols)).astype(source)
    return (x, rng.integers(0, n_in + 1, rows)), {"dtype": dtype}


def scatter(shape, dtype, rng):
    rows, n_in, cols = shape
    return (normal(rng, (rows, cols), dtype), rng.integers(0, n_in + 1, rows), n_in + 1), {}


def class_loss(shape, dtype, rng, sparse, probabilities=False):
    rows, _, cols = shape
    pred = normal(rng, (rows, max(cols, 1)), dtype, 3)
    labels = rng.integers(0, pred.shape[1], rows)
    if probabilities and rows:
        pred = reference.activation_forward(pred / 3, "softmax")
    targets = rng.dirichlet(np.ones(pred.shape[1]), rows).astype(dtype)
    return (pred, labels if sparse else targets, rng.uniform(0, 2, rows)), {}


def column_loss(shape, dtype, rng, probabilities=False):
    rows, _, cols = shape
    pred = normal(rng, (rows, max(cols, 1)), dtype, 3)
    if probabilities:
        pred = reference.activation_forward(pred / 3, "sigmoid")
    return (pred, rng.uniform(0, 1, pred.shape).astype(dtype), rng.uniform(0, 2, rows)), {}


def optimizer(shape, dtype, rng, slots, steps=(), keyword_slots=()):
    """Parameters, gradient, slots (not negative: some are averages of squares), the number of the step."""
    size, count = shape[1:], slots + len(keyword_slots)
    positive = [np.square(normal(rng, size, dtype)) + dtype.type(0.1) for _ in range(count)]
    named = dict(zip(keyword_slots, positive[slots:], strict=True))
    args = (normal(rng, size, dtype), normal(rng, size, dtype), *positive[:slots], *steps)
    return args, {"learning_rate": 0.01} | named


def weights(shape, dtype, rng, scale=1.0, with_grad=False):
    """An array of weights, some of them zero, and a gradient to add to."""
    size = shape[1:]
    param = normal(rng, size, dtype, scale) * (rng.random(size) < 0.8)
    return (param.astype(dtype),), {"grad": normal(rng, size, dtype)} if with_grad else {}


def masked(shape, dtype, rng):
    return (normal(rng, shape[1:], dtype), rng.random(shape[1:]) < 0.5), {}


def normalization(shape, dtype, rng, weights, statistics=False):
    """Rows with a mean of their own, and `weights` vectors; then, if wanted, means and variances."""
    rows, _, cols = shape
    x = normal(rng, (rows, cols), dtype, 2) + dtype.type(3)
    more = (normal(rng, (cols,), dtype), rng.uniform(0.5, 4, cols).astype(dtype)) if statistics else ()
    return (x, *(normal(rng, (cols,), dtype) for _ in range(weights)), *more), {}


def batch_normalization_backward(shape, dtype, rng):
    (x, gamma), _ = normalization(shape, dtype, rng, 1)
    _, mean, variance = reference.batch_normalization_forward(x)
    return (normal(rng, x.shape, dtype), x, mean, variance, gamma), {}


def normalization_backward(shape, dtype, rng):
    (x, gamma), _ = normalization(shape, dtype, rng, 1)
    return (normal(rng, x.shape, dtype), x, gamma), {}


def srelu_backward(shape, dtype, rng):
    (x, *vectors), _ = normalization(shape, dtype, rng, 4)
    return (normal(rng, x.shape, dtype), x, *vectors), {}


def factored(shape, dtype, rng, vector=False):
    """Adafactor's: averages of rows and of columns, or of the elements of a vector; the number of the step."""
    size = shape[1:] if not vector else (shape[1] * shape[2],)
    average = np.square(normal(rng, size, dtype)) + dtype.type(0.1)
    slots = (average, None) if vector else (average[:, 0].copy() if shape[2] else np.ones(shape[1], dtype),
                                            average[0].copy() if shape[1] else np.ones(shape[2], dtype))
    return (normal(rng, size, dtype), normal(rng, size, dtype), *slots, 3), {"learning_rate": 0.01}


ELEMENTWISE = ("linear", "relu", "leaky_relu", "elu", "selu", "sigmoid", "tanh", "softplus", "softsign",
               "hard_sigmoid", "relu6", "exponential", "gelu_tanh", "gelu", "silu", "mish", "all_relu")  # fmt: skip
STEPS = ("sign", "binary_step", "ternary")  # their derivative is another function's
ACTIVATIONS = (*ELEMENTWISE, "softmax", "log_softmax")
POSITIVE = {"low": 1e-3, "high": 50.0}
# Windows of convolutions by their size and place, and of pooling.
PLACES = {
    "3x2": ((3, 2), {}),
    "3x2 same": ((3, 2), {"padding": "same"}),
    "3x3 same by 2": ((3, 3), {"padding": "same", "strides": 2}),
    "1x1": ((1, 1), {}),
    "1x1 by (2, 3)": ((1, 1), {"strides": (2, 3)}),
    "5x4 by (1, 2)": ((5, 4), {"strides": (1, 2)}),
}
POOLS = {
    "2": {},
    "2 same": {"padding": "same"},
    "3 by 2": {"pool_size": 3, "strides": 2},
    "(3, 4) by 1 same": {"pool_size": (3, 4), "strides": 1, "padding": "same"},
}

KERNELS = [
    *(Kernel(name, name, elementwise, rows=(0,)) for name in ("exp", "expm1", "tanh", "erf")),
    *(Kernel(name, name, partial(elementwise, **POSITIVE), rows=(0,)) for name in ("log", "log1p")),
    *(Kernel(f"activation_forward-{name}", "activation_forward", partial(activation_forward, name=name),
             "element" if name in ELEMENTWISE else "sum", rows=(0,)) for name in ACTIVATIONS),
    *(Kernel(f"activation_backward-{name}", "activation_backward", partial(activation_backward, name=name),
             "element" if name in ELEMENTWISE else "sum", rows=(0, 1)) for name in ACTIVATIONS),
    *(Kernel(f"activation_forward-{name}", "activation_forward", partial(activation_forward, name=name), "exact",
             rows=(0,)) for name in STEPS),
    *(Kernel(f"activation_backward-{name}", "activation_backward", partial(activation_backward, name=name), "exact",
             rows=(0, 1)) for name in STEPS),
    *(Kernel(f"dense_forward-{name}", "dense_forward", partial(dense_forward, name=name), "sum", rows=(0,))
      for name in ACTIVATIONS),
    *(Kernel(f"dense_backward-{name}", "dense_backward", partial(dense_backward, name=name), "sum")
      for name in ACTIVATIONS),
    *(Kernel(f"sparse_dense_forward-{name}", "sparse_dense_forward", partial(sparse_forward, name=name), "sum",
             rows=(0,)) for name in ("linear", "relu", "gelu", "softmax")),
    Kernel("sparse_dense_forward-few", "sparse_dense_forward", partial(sparse_forward, name="tanh", density=0.02),
           "sum", rows=(0,)),
    *(Kernel(f"sparse_dense_backward-{name}", "sparse_dense_backward", partial(sparse_backward, name=name), "sum")
      for name in ("linear", "relu", "gelu")),
    *(Kernel(f"conv2d_forward-{name}", "conv2d_forward", partial(conv2d_forward, name=name), "sum", rows=(0,))
      for name in ("linear", "relu", "gelu", "softmax")),
    *(Kernel(f"conv2d_forward-{key}", "conv2d_forward", partial(conv2d_forward, name="relu", size=size), "sum",
             rows=(0,), arguments=place) for key, (size, place) in PLACES.items()),
    *(Kernel(f"conv2d_backward-{name}", "conv2d_backward", partial(conv2d_backward, name=name), "sum")
      for name in ("linear", "relu", "gelu", "softmax")),
    *(Kernel(f"conv2d_backward-{key}", "conv2d_backward", partial(conv2d_backward, name="tanh", size=size, **place),
             "sum") for key, (size, place) in PLACES.items()),
    *(Kernel(f"{kind}_pooling2d_forward-{key}", f"{kind}_pooling2d_forward", pooling_forward,
             "exact" if kind == "max" else "sum", rows=(0,), arguments=place)
      for kind in ("max", "average") for key, place in POOLS.items()),
    *(Kernel(f"max_pooling2d_backward-{key}", "max_pooling2d_backward", partial(max_pooling_backward, **place),
             "element", rows=(0, 1, 2)) for key, place in POOLS.items()),
    *(Kernel(f"average_pooling2d_backward-{key}", "average_pooling2d_backward",
             partial(average_pooling_backward, **place), "element", rows=(0,)) for key, place in POOLS.items()),
    *(Kernel(f"{name}-{'labels' if sparse else 'rows'}-{smoothing}", name,
             partial(class_loss, sparse=sparse, probabilities=name == "categorical_crossentropy"), "sum",
             rows=(0, 1, 2), out="grad", arguments={"label_smoothing": smoothing})
      for name in ("softmax_crossentropy", "categorical_crossentropy")
      for sparse in (True, False) for smoothing in (0.0, 0.1)),
    *(Kernel(f"{name}-{smoothing}", name,
             partial(column_loss, probabilities=name == "binary_crossentropy"), "sum",
             rows=(0, 1, 2), out="grad", arguments={"label_smoothing": smoothing})
      for name in ("sigmoid_binary_crossentropy", "binary_crossentropy") for smoothing in (0.0, 0.1)),
    *(Kernel(name, name, column_loss, "sum", rows=(0, 1, 2), out="grad")
      for name in ("mean_squared_error", "mean_absolute_error", "huber")),
    *(Kernel(f"poisson-{kind}", "poisson", partial(column_loss, probabilities=kind == "rates"), "sum", rows=(0, 1, 2),
             out="grad", arguments={"log_input": kind == "logarithms"}) for kind in ("rates", "logarithms")),
    Kernel("sgd_step", "sgd_step", partial(optimizer, slots=0), in_place=(0,), out=""),
    *(Kernel(f"momentum_step-{kind}", "momentum_step", partial(optimizer, slots=1), in_place=(0, 2), out="",
             arguments={"nesterov": kind == "nesterov"}) for kind in ("momentum", "nesterov")),
    Kernel("rmsprop_step", "rmsprop_step", partial(optimizer, slots=1), in_place=(0, 2), out=""),
    Kernel("rmsprop_step-momentum", "rmsprop_step", partial(optimizer, slots=2), in_place=(0, 2, 3), out="",
           arguments={"momentum": 0.5, "weight_decay": 0.1}),
    Kernel("rmsprop_step-centered", "rmsprop_step", partial(optimizer, slots=3), "sum", in_place=(0, 2, 3, 4),
           out="", arguments={"momentum": 0.5, "epsilon": 1.0}),
    Kernel("adagrad_step", "adagrad_step", partial(optimizer, slots=1), in_place=(0, 2), out=""),
    Kernel("adadelta_step", "adadelta_step", partial(optimizer, slots=2), in_place=(0, 2, 3), out=""),
    *(Kernel(name, name, partial(optimizer, slots=2, steps=(3,)), in_place=(0, 2, 3), out="")
      for name in ("adam_step", "adamw_step", "adamax_step", "radam_step")),
    Kernel("radam_step-rectified", "radam_step", partial(optimizer, slots=2, steps=(30,)), in_place=(0, 2, 3), out=""),
    *(Kernel(f"ftrl_step-{power}", "ftrl_step", partial(optimizer, slots=2), "sum", in_place=(0, 2, 3), out="",
             arguments={"learning_rate": 0.5, "learning_rate_power": power, "l1_regularization_strength": 0.3,
                        "beta": 0.5})
      for power in (-0.5, -0.7)),
    Kernel("schedule_free_adamw_step", "schedule_free_adamw_step", partial(optimizer, slots=3, steps=(3,)), "sum",
           in_place=(0, 2, 3, 4), out="", arguments={"warmup_steps": 9, "weight_decay": 0.1}),
    Kernel("adam_step-amsgrad", "adam_step",
           partial(optimizer, slots=2, steps=(3,), keyword_slots=("v_hat",)),
           in_place=(0, 2, 3, "v_hat"), out=""),
    Kernel("nadam_step", "nadam_step", partial(optimizer, slots=2, steps=(3, 0.3)), in_place=(0, 2, 3),
           out=""),
    Kernel("lamb_step", "lamb_step", partial(optimizer, slots=2, steps=(3,)), "sum", in_place=(0, 2, 3), out="",
           arguments={"weight_decay": 0.1}),
    Kernel("adafactor_step", "adafactor_step", factored, "sum", in_place=(0, 2, 3), out="",
           arguments={"weight_decay": 0.1}),
    Kernel("adafactor_step-vector", "adafactor_step", partial(factored, vector=True), "sum", in_place=(0, 2), out=""),
    Kernel("muon_step", "muon_step", partial(optimizer, slots=1), "products", in_place=(0, 2), out=""),
    Kernel("lion_step", "lion_step", partial(optimizer, slots=1), in_place=(0, 2), out=""),
    *(Kernel(f"l1_l2_penalty-{l1}-{l2}", "l1_l2_penalty", partial(weights, with_grad=True), "sum", in_place=("grad",),
             out="", arguments={"l1": l1, "l2": l2}) for l1, l2 in ((0.3, 0.0), (0.0, 0.7), (0.3, 0.7))),
    *(Kernel(f"orthogonal_penalty-{mode}", "orthogonal_penalty", partial(weights, with_grad=True), "sum",
             in_place=("grad",), out="", arguments={"factor": 3.0, "mode": mode}) for mode in ("rows", "columns")),
    *(Kernel(f"norm_constraint-{axis}", "norm_constraint", weights, in_place=(0,), out="",
             arguments={"min_value": 0.5, "max_value": 2.0, "rate": 0.7, "axis": axis}) for axis in (0, 1, None)),
    Kernel("mask_weights", "mask_weights", masked, "exact", in_place=(0,), out=""),
    *(Kernel(f"gather_rows-{source}", "gather_rows", partial(gather, source=source), "exact", rows=(1,))
      for source in ("bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64",
                     "float16", "float32", "float64")),
    *(Kernel(f"csr_dense_forward-{width}", "csr_dense_forward", partial(compressed_rows, width=width), "sum")
      for width in ("int32", "int64")),
    *(Kernel(f"csr_dense_kernel_grad-{width}", "csr_dense_kernel_grad",
             partial(compressed_rows, gradient=True, width=width), "sum") for width in ("int32", "int64")),
    Kernel("scatter_rows", "scatter_rows", scatter, "exact"),
    Kernel("histogram", "histogram", elementwise, "exact", arguments={"low": -4.3, "high": 5.1, "bins": 37}),
    Kernel("extent", "extent", elementwise, "sum"),
    Kernel("affine", "affine", elementwise, "exact", rows=(0,), arguments={"scale": 1 / 3, "offset": -0.7}),
    *(Kernel(f"{name}-{rate}", name, elementwise, "exact",
             arguments={"rate": rate, "seed": 2**40 + 5, "stream": 7, "step": 2**33 + 1})
      for name in ("dropout_forward", "alpha_dropout_backward") for rate in (0.3, 0.5)),
    Kernel("alpha_dropout_forward", "alpha_dropout_forward", elementwise,
           arguments={"rate": 0.3, "seed": 2**40 + 5, "stream": 7, "step": 2**33 + 1}),
    Kernel("gaussian_noise_forward", "gaussian_noise_forward", elementwise,
           arguments={"stddev": 0.5, "seed": 2**40 + 5, "stream": 7, "step": 2**33 + 1}),
    Kernel("gaussian_dropout_forward", "gaussian_dropout_forward", elementwise,
           arguments={"rate": 0.2, "seed": 2**40 + 5, "stream": 7, "step": 2**33 + 1}),
    *(Kernel(f"stochastic_round-{values}", "stochastic_round", stochastic_round, "exact",
             arguments={"values": values, "seed": 2**40 + 5, "stream": 7, "step": 2**33 + 1}) for values in STEPS),
    Kernel("pack_bits", "pack_bits", elementwise, "exact", rows=(0,), out=""),
    *(Kernel(f"packed_dense_forward-{values}-{inputs}", "packed_dense_forward", partial(packed, values=values), "sum",
             rows=(0,), arguments={"inputs": inputs}) for values in STEPS for inputs in (None, "sign", "binary_step")),
    *(Kernel(f"packed_dense_forward-{name}", "packed_dense_forward", partial(packed, values="sign", name=name), "sum",
             rows=(0,), arguments={"inputs": "sign"}) for name in ("relu", "gelu", "softmax")),
    Kernel("batch_normalization_forward", "batch_normalization_forward", partial(normalization, weights=2), "sum"),
    Kernel("batch_normalization_forward-given", "batch_normalization_forward",
           partial(normalization, weights=2, statistics=True), rows=()),
    Kernel("batch_normalization_backward", "batch_normalization_backward", batch_normalization_backward, "sum"),
    Kernel("batch_normalization_backward-frozen", "batch_normalization_backward", batch_normalization_backward, "sum",
           arguments={"frozen": True}),
    Kernel("layer_normalization_forward", "layer_normalization_forward", partial(normalization, weights=2), "sum",
           rows=(0,)),
    Kernel("layer_normalization_backward", "layer_normalization_backward", normalization_backward, "sum"),
    Kernel("rms_normalization_forward", "rms_normalization_forward", partial(normalization, weights=1), "sum",
           rows=(0,)),
    Kernel("rms_normalization_backward", "rms_normalization_backward", normalization_backward, "sum"),
    Kernel("prelu_forward", "prelu_forward", partial(normalization, weights=1), "exact", rows=(0,)),
    Kernel("prelu_backward", "prelu_backward", normalization_backward, "sum"),
    Kernel("srelu_forward", "srelu_forward", partial(normalization, weights=4), "exact", rows=(0,)),
    Kernel("srelu_backward", "srelu_backward", srelu_backward, "sum"),
]  # fmt: skip
