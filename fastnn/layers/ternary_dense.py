"""TernaryDense: weights of three values."""

from __future__ import annotations

from typing import Any

from fastnn import activations
from fastnn.layers.rounded import RoundedDense
from fastnn.named import number

__all__ = ["TernaryDense"]


class TernaryDense(RoundedDense):
    """Densely connected layer whose weights are -1, 0 and 1: ``y = activation(x @ Q(kernel) + bias)``.

    Trained as :class:`BinaryDense` is (Lin, Courbariaux, Memisevic and Bengio, "Neural networks with few
    multiplications", 2016; Li, Zhang and Liu, "Ternary weight networks", 2016). A weight is 0 where the kernel's
    magnitude is at most `threshold`. ``model.pack()`` makes a model for prediction that has two bits for each weight.

    Parameters
    ----------
    units : int
        Number of outputs.
    activation : str, Activation or None, default None
    threshold : float, default 0.05
        At least 0. With as many units as inputs, initial kernels of "glorot_uniform" are within ``sqrt(3 / n_inputs)``:
        where that is less than the threshold, all weights are 0 at first.
    stochastic : bool, default False
        While training, draw each weight at random: the kernel's sign with probability ``abs(kernel)``, else 0.
        Predictions use the deterministic weights in both cases.
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
    >>> model = fnn.Sequential([fnn.Input((2,)), fnn.layers.TernaryDense(3)], seed=0)
    >>> model.layers[0].kernel = [[0.3, -0.2, 0.0], [-0.9, 0.04, 0.7]]
    >>> model.layers[0].rounded_kernel
    array([[ 1., -1.,  0.],
           [-1.,  0.,  1.]], dtype=float32)
    """

    def __init__(self, units: int, activation: Any = None, threshold: float = 0.05, stochastic: bool = False,
                 use_bias: bool = True, kernel_initializer: Any = "glorot_uniform", bias_initializer: Any = "zeros",
                 kernel_regularizer: Any = None, bias_regularizer: Any = None, activity_regularizer: Any = None,
                 kernel_constraint: Any = "weight_clip", bias_constraint: Any = None, name: str | None = None,
                 trainable: bool = True) -> None:
        super().__init__(units, stochastic, activation, use_bias, kernel_initializer, bias_initializer,
                         kernel_regularizer, bias_regularizer, activity_regularizer, kernel_constraint,
                         bias_constraint, name, trainable)
        self.threshold = number("threshold", threshold, "[0, inf)")

    @property
    def rounding(self) -> activations.Activation:
        return activations.Ternary(self.threshold)
