"""Picks the kernel table once, at import, and names the rows of its tables for Python."""

import os

from fastnn._kernels.core cimport *


cdef extern from *:
    """
    #include <string.h>
    """

cdef extern from "isa.h" nogil:
    ctypedef const fnn_kernels* (*fnn_table_of)(int) noexcept nogil
    fnn_table_of fnn_level(const char* name)
    int fnn_cpu_runs(const char* name)


LEVELS = ("avx512", "avx2", "baseline")

cdef const fnn_kernels* tables[2]


cdef const fnn_kernels* kernels(int dtype) noexcept nogil:
    """The table of the chosen level for FNN_F32 or FNN_F64."""
    return tables[dtype]


def available_levels():
    """Names of the instruction sets that were compiled in and that this CPU runs, best first."""
    return tuple(name for name in LEVELS
                 if fnn_level(name.encode()) != NULL and fnn_cpu_runs(name.encode()))


def _choose(wanted):
    available = available_levels()
    if not wanted:
        return available[0]
    if wanted not in LEVELS:
        raise ImportError(f"FASTNN_ISA={wanted!r} is not an instruction set of fastnn; allowed: {', '.join(LEVELS)}")
    if wanted not in available:
        raise ImportError(f"FASTNN_ISA={wanted!r}, but this CPU or build offers only: {', '.join(available)}")
    return wanted


ISA = _choose(os.environ.get("FASTNN_ISA", ""))
cdef fnn_table_of _table_of = fnn_level(ISA.encode())
tables[0] = _table_of(FNN_F32)
tables[1] = _table_of(FNN_F64)

DTYPES = {"float32": FNN_F32, "float64": FNN_F64}

# numpy's dtype.str without the byte order -> what rows of X may be made of
SOURCES = {
    "f4": FNN_SRC_F32, "f8": FNN_SRC_F64, "f2": FNN_SRC_F16, "b1": FNN_SRC_U8,
    "i1": FNN_SRC_I8, "u1": FNN_SRC_U8, "i2": FNN_SRC_I16, "u2": FNN_SRC_U16,
    "i4": FNN_SRC_I32, "u4": FNN_SRC_U32, "i8": FNN_SRC_I64, "u8": FNN_SRC_U64,
}

FUNCTIONS = {
    "exp": FNN_EXP, "expm1": FNN_EXPM1, "log": FNN_LOG, "log1p": FNN_LOG1P, "tanh": FNN_TANH, "erf": FNN_ERF,
}

ACTIVATIONS = {
    "linear": FNN_LINEAR, "relu": FNN_RELU, "leaky_relu": FNN_LEAKY_RELU, "elu": FNN_ELU, "selu": FNN_SELU,
    "sigmoid": FNN_SIGMOID, "tanh": FNN_TANH_ACT, "softplus": FNN_SOFTPLUS, "softsign": FNN_SOFTSIGN,
    "hard_sigmoid": FNN_HARD_SIGMOID, "relu6": FNN_RELU6, "exponential": FNN_EXPONENTIAL,
    "gelu_tanh": FNN_GELU_TANH, "gelu": FNN_GELU_ERF, "silu": FNN_SILU, "mish": FNN_MISH,
    "all_relu": FNN_ALL_RELU,
    "sign": FNN_SIGN, "binary_step": FNN_BINARY_STEP, "ternary": FNN_TERNARY,
    "softmax": FNN_SOFTMAX, "log_softmax": FNN_LOG_SOFTMAX,
}
LAST_FROM_OUTPUT = FNN_LAST_FROM_OUTPUT
LAST_ELEMENTWISE = FNN_LAST_ELEMENTWISE

POOLINGS = {"max": FNN_MAX_POOLING, "average": FNN_AVERAGE_POOLING}

LOSSES = {
    "softmax_ce_sparse": FNN_SOFTMAX_CE_SPARSE, "softmax_ce": FNN_SOFTMAX_CE, "sigmoid_bce": FNN_SIGMOID_BCE,
    "ce_sparse": FNN_CE_SPARSE, "ce": FNN_CE, "bce": FNN_BCE,
    "mse": FNN_MSE, "mae": FNN_MAE, "huber": FNN_HUBER, "exp_poisson": FNN_EXP_POISSON, "poisson": FNN_POISSON,
}

OPTIMIZERS = {
    "sgd": FNN_SGD, "momentum": FNN_MOMENTUM, "nesterov": FNN_NESTEROV, "rmsprop": FNN_RMSPROP,
    "rmsprop_centered": FNN_RMSPROP_CENTERED, "adagrad": FNN_ADAGRAD, "adadelta": FNN_ADADELTA,
    "adam": FNN_ADAM, "amsgrad": FNN_AMSGRAD, "adamax": FNN_ADAMAX, "nadam": FNN_NADAM, "lion": FNN_LION,
    "radam": FNN_RADAM, "ftrl": FNN_FTRL, "ftrl_power": FNN_FTRL_POWER, "schedule_free": FNN_SCHEDULE_FREE,
    "lamb": FNN_LAMB, "muon": FNN_MUON, "adafactor": FNN_ADAFACTOR,
}

METRICS = {
    "accuracy_sparse": FNN_METRIC_ACCURACY_SPARSE, "accuracy": FNN_METRIC_ACCURACY,
    "accuracy_binary": FNN_METRIC_ACCURACY_BINARY, "top_k_sparse": FNN_METRIC_TOP_K_SPARSE,
    "top_k": FNN_METRIC_TOP_K, "mse": FNN_METRIC_MSE, "mae": FNN_METRIC_MAE, "r2": FNN_METRIC_R2,
    "confusion_sparse": FNN_METRIC_CONFUSION_SPARSE, "confusion": FNN_METRIC_CONFUSION, "auc": FNN_METRIC_AUC,
}


def panel_width(dtype):
    """Columns of a panel (the kernels' NR) for "float32" or "float64"."""
    return tables[DTYPES[dtype]].nr
