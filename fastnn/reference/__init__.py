"""NumPy twins of the kernels: what each one computes, in a few lines of NumPy.

Every public function of :mod:`fastnn.kernels` has its twin here under the same name and with the same
arguments (``n_threads`` is accepted and ignored). The tests hold the kernels against this module and the
benchmarks race them against it, so it is written as good plain NumPy is: vectorised, in place where that is
natural, float32 in float32 and float64 in float64, and without checks of its own.

Parameters, shapes and errors are described at the twin in :mod:`fastnn.kernels`.
"""

from fastnn.reference.activations import (
    activation_backward,
    activation_forward,
)
from fastnn.reference.convolution import (
    average_pooling2d_backward,
    average_pooling2d_forward,
    conv2d_backward,
    conv2d_forward,
    max_pooling2d_backward,
    max_pooling2d_forward,
)
from fastnn.reference.csr import (
    csr_dense_forward,
    csr_dense_kernel_grad,
)
from fastnn.reference.dense import (
    dense_backward,
    dense_forward,
)
from fastnn.reference.distribution import (
    extent,
    histogram,
)
from fastnn.reference.functions import (
    erf,
    exp,
    expm1,
    log,
    log1p,
    tanh,
)
from fastnn.reference.losses import (
    binary_crossentropy,
    categorical_crossentropy,
    huber,
    mean_absolute_error,
    mean_squared_error,
    poisson,
    sigmoid_binary_crossentropy,
    softmax_crossentropy,
)
from fastnn.reference.noise import (
    alpha_dropout_backward,
    alpha_dropout_forward,
    dropout_forward,
    gaussian_dropout_forward,
    gaussian_noise_forward,
)
from fastnn.reference.normalization import (
    batch_normalization_backward,
    batch_normalization_forward,
    layer_normalization_backward,
    layer_normalization_forward,
    prelu_backward,
    prelu_forward,
    rms_normalization_backward,
    rms_normalization_forward,
    srelu_backward,
    srelu_forward,
)
from fastnn.reference.optimizers import (
    adadelta_step,
    adagrad_step,
    adam_step,
    adamax_step,
    adamw_step,
    ftrl_step,
    lion_step,
    momentum_step,
    nadam_step,
    radam_step,
    rmsprop_step,
    schedule_free_adamw_step,
    sgd_step,
)
from fastnn.reference.packed import (
    pack_bits,
    packed_dense_forward,
    stochastic_round,
)
from fastnn.reference.restraints import (
    adafactor_step,
    l1_l2_penalty,
    lamb_step,
    mask_weights,
    muon_step,
    norm_constraint,
    orthogonal_penalty,
)
from fastnn.reference.rows import (
    affine,
    gather_rows,
    scatter_rows,
)
from fastnn.reference.sparse import (
    sparse_dense_backward,
    sparse_dense_forward,
)
from fastnn.reference.topology import (
    compressed_rows,
    drop_smallest,
    free_positions,
    merge_pattern,
    random_positions,
)

__all__ = [
    "activation_backward",
    "activation_forward",
    "adadelta_step",
    "adafactor_step",
    "adagrad_step",
    "adam_step",
    "adamax_step",
    "adamw_step",
    "affine",
    "alpha_dropout_backward",
    "alpha_dropout_forward",
    "batch_normalization_backward",
    "batch_normalization_forward",
    "average_pooling2d_backward",
    "average_pooling2d_forward",
    "binary_crossentropy",
    "categorical_crossentropy",
    "compressed_rows",
    "conv2d_backward",
    "conv2d_forward",
    "csr_dense_forward",
    "csr_dense_kernel_grad",
    "dense_backward",
    "dense_forward",
    "drop_smallest",
    "dropout_forward",
    "erf",
    "exp",
    "expm1",
    "extent",
    "free_positions",
    "ftrl_step",
    "gather_rows",
    "gaussian_dropout_forward",
    "gaussian_noise_forward",
    "histogram",
    "huber",
    "poisson",
    "l1_l2_penalty",
    "layer_normalization_backward",
    "layer_normalization_forward",
    "lamb_step",
    "lion_step",
    "log",
    "log1p",
    "mask_weights",
    "max_pooling2d_backward",
    "max_pooling2d_forward",
    "mean_absolute_error",
    "mean_squared_error",
    "merge_pattern",
    "momentum_step",
    "muon_step",
    "nadam_step",
    "norm_constraint",
    "orthogonal_penalty",
    "pack_bits",
    "packed_dense_forward",
    "radam_step",
    "random_positions",
    "prelu_backward",
    "prelu_forward",
    "rms_normalization_backward",
    "rms_normalization_forward",
    "rmsprop_step",
    "schedule_free_adamw_step",
    "scatter_rows",
    "sgd_step",
    "sigmoid_binary_crossentropy",
    "softmax_crossentropy",
    "sparse_dense_backward",
    "sparse_dense_forward",
    "srelu_backward",
    "srelu_forward",
    "stochastic_round",
    "tanh",
]
