"""The kernels, one call each: checked arguments in, compiled code without the GIL, arrays out.

Every function takes float32 or float64 arrays (one dtype a call), allocates its result or writes it into
``out=``, and splits its work over ``n_threads=`` threads without changing a bit of the result. Each has its
twin of plain NumPy in :mod:`fastnn.reference`.

Inputs may be read-only, and matrices may be slices of wider ones (``a[:, 2:7]``, ``a[::2]``): rows that are
contiguous are read where they are. Anything else (Fortran order, a column stride, misaligned data) is copied
first. Outputs and whatever is updated in place are never copied: they must be writable, of the right shape
and dtype, and have contiguous rows. NaN and infinity in the data are not refused: they come out as arithmetic
has it.

Common to all functions:

TypeError
    An array is not float32 or float64, or of another dtype than the first one; `out` is not an ndarray; a
    number is not a number.
ValueError
    A shape does not fit; an output is read-only, not contiguous, or overlaps an input other than as
    documented; a hyperparameter is out of range; a name is unknown.
"""

from fastnn.kernels.activations import (
    activation_backward,
    activation_forward,
)
from fastnn.kernels.convolution import (
    average_pooling2d_backward,
    average_pooling2d_forward,
    conv2d_backward,
    conv2d_forward,
    max_pooling2d_backward,
    max_pooling2d_forward,
)
from fastnn.kernels.csr import (
    csr_dense_forward,
    csr_dense_kernel_grad,
)
from fastnn.kernels.dense import (
    dense_backward,
    dense_forward,
)
from fastnn.kernels.distribution import (
    extent,
    histogram,
)
from fastnn.kernels.functions import (
    erf,
    exp,
    expm1,
    log,
    log1p,
    tanh,
)
from fastnn.kernels.losses import (
    binary_crossentropy,
    categorical_crossentropy,
    huber,
    mean_absolute_error,
    mean_squared_error,
    poisson,
    sigmoid_binary_crossentropy,
    softmax_crossentropy,
)
from fastnn.kernels.noise import (
    alpha_dropout_backward,
    alpha_dropout_forward,
    dropout_forward,
    gaussian_dropout_forward,
    gaussian_noise_forward,
)
from fastnn.kernels.normalization import (
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
from fastnn.kernels.optimizers import (
    adadelta_step,
    adagrad_step,
    adam_step,
    adamax_step,
    adamw_step,
    lion_step,
    momentum_step,
    nadam_step,
    rmsprop_step,
    sgd_step,
)
from fastnn.kernels.packed import (
    pack_bits,
    packed_dense_forward,
    stochastic_round,
)
from fastnn.kernels.restraints import (
    affine,
    gather_rows,
    l1_l2_penalty,
    mask_weights,
    norm_constraint,
    orthogonal_penalty,
    scatter_rows,
)
from fastnn.kernels.rows import (
    adafactor_step,
    ftrl_step,
    lamb_step,
    muon_step,
    radam_step,
    schedule_free_adamw_step,
)
from fastnn.kernels.sparse import (
    sparse_dense_backward,
    sparse_dense_forward,
)
from fastnn.kernels.topology import (
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
