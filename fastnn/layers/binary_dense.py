"""BinaryDense: weights of two values."""

from __future__ import annotations

from typing import Any

from fastnn import activations
from fastnn.layers.rounded import RoundedDense

__all__ = ["BinaryDense"]

MODES = {"sign": activations.sign, "01": activations.binary_step}


class BinaryDense(RoundedDense):
    """Densely connected layer whose weights are -1 and 1, or 0 and 1: ``y = activation(x @ Q(kernel) + bias)``.

    What is trained is a kernel of real numbers, which is rounded anew in every step. The gradient with respect to
    ``Q(kernel)`` is taken for that of the kernel where its magnitudes are at most 1, and the kernel is held in [-1, 1]
    (Courbariaux, Bengio and David, "BinaryConnect", 2015). Outputs are as large as ``sqrt(n_inputs)`` times the inputs:
    put `BatchNormalization` behind the layer. ``model.pack()`` makes a model for prediction with 64 weights in a word.

    Parameters
    ----------
    units : int
        Number of outputs.
    activation : str, Activation or None, default None
        "sign" makes the outputs binary too.
    mode : {"sign", "01"}, default "sign"
        The values of weights: 1 where the kernel is at least 0, else -1; the same, else 0.
    stochastic : bool, default False
        While training, draw each weight at random: 1 with probability ``(kernel + 1) / 2``. Predictions use the
        deterministic weights in both cases. Needs a kernel of magnitudes around 1, as
        ``RandomUniform(-1, 1)`` makes it, and a large learning rate.
    use_bias : bool, default True
    kernel_initializer : str or Initializer, default "glorot_uniform"
    bias_initializer : str or Initializer, default "zeros"
    kernel_regularizer, bias_regularizer : str or Regularizer, optional
        Penalties on the weights, for kernels on the real numbers: part of the loss.
    activity_regularizer : str or Regularizer, optional
        Penalty on the outputs over the number of samples: `L1`, `L2` or `L1L2`.
    kernel_constraint : str, Constraint or None, default "weight_clip"
        What the real numbers are brought back to after each step: [-1, 1].
    bias_constraint : str or Constraint, optional
    name : str, optional
    trainable : bool, default True

    Attributes
    ----------
    kernel : ndarray (n_inputs, units)
        A live view of the model's parameters, once the model is built.
    rounded_kernel : ndarray (n_inputs, units)
        The weights of predictions, computed.
    bias : ndarray (units,) or None

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type, out of range or an unknown name.

    Examples
    --------
    >>> import fastnn as fnn
    >>> model = fnn.Sequential([fnn.Input((2,)), fnn.layers.BinaryDense(3)], seed=0)
    >>> model.layers[0].kernel = [[0.3, -0.2, 0.0], [-0.9, 0.1, 0.7]]
    >>> model.layers[0].rounded_kernel
    array([[ 1., -1.,  1.],
           [-1.,  1.,  1.]], dtype=float32)
    >>> model.predict([[1.0, 0.5]])
    array([[ 0.5, -0.5,  1.5]], dtype=float32)
    """

    def __init__(self, units: int, activation: Any = None, mode: str = "sign", stochastic: bool = False,
                 use_bias: bool = True, kernel_initializer: Any = "glorot_uniform", bias_initializer: Any = "zeros",
                 kernel_regularizer: Any = None, bias_regularizer: Any = None, activity_regularizer: Any = None,
                 kernel_constraint: Any = "weight_clip", bias_constraint: Any = None, name: str | None = None,
                 trainable: bool = True) -> None:
        super().__init__(units, stochastic, activation, use_bias, kernel_initializer, bias_initializer,
                         kernel_regularizer, bias_regularizer, activity_regularizer, kernel_constraint,
                         bias_constraint, name, trainable)
        if mode not in MODES:
            raise ValueError(f"mode must be {' or '.join(map(repr, MODES))}; received {mode!r}")
        self.mode = mode

    @property
    def rounding(self) -> activations.Activation:
        return MODES[self.mode]
