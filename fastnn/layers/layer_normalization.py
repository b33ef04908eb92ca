"""LayerNormalization: samples with mean 0 and variance 1."""

from __future__ import annotations

from typing import Any

from fastnn._kernels.program import Program
from fastnn.layers.normalization import CentredAndScaled

__all__ = ["LayerNormalization"]


class LayerNormalization(CentredAndScaled):
    """Normalizes each sample over its features: ``y = gamma * (x - mean) / sqrt(variance + epsilon) + beta``.

    Mean and variance are those of the last axis, for each sample by itself: training and prediction compute the same,
    with batches of any size. (Ba, Kiros and Hinton, 2016.)

    Parameters
    ----------
    axis : int, default -1
        Only the last one.
    epsilon : float, default 1e-3
        Not negative.
    center, scale : bool, default True
        Whether there is a beta, and a gamma.
    beta_initializer : str or Initializer, default "zeros"
    gamma_initializer : str or Initializer, default "ones"
    beta_regularizer, gamma_regularizer : str or Regularizer, optional
        Penalties on beta and gamma, from :mod:`fastnn.regularizers`: part of the loss.
    beta_constraint, gamma_constraint : str or Constraint, optional
        What they are brought back to after each step, from :mod:`fastnn.constraints`.
    name : str, optional
    trainable : bool, default True

    Attributes
    ----------
    gamma, beta : ndarray (n_features,) or None
        Live views of the model's parameters, once the model is built.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type, out of range or an unknown name.

    Examples
    --------
    >>> import fastnn as fnn
    >>> model = fnn.Sequential([fnn.layers.LayerNormalization(epsilon=0.0)])
    >>> model.predict([[1.0, 3.0], [5.0, 9.0]])
    array([[-1.,  1.],
           [-1.,  1.]], dtype=float32)
    """

    def __init__(self, axis: int = -1, epsilon: float = 1e-3, center: bool = True, scale: bool = True,
                 beta_initializer: Any = "zeros", gamma_initializer: Any = "ones", beta_regularizer: Any = None,
                 gamma_regularizer: Any = None, beta_constraint: Any = None, gamma_constraint: Any = None,
                 name: str | None = None, trainable: bool = True) -> None:
        super().__init__(name=name, trainable=trainable)
        self._configure(axis, epsilon, center, scale, beta_initializer, gamma_initializer, beta_regularizer,
                        gamma_regularizer, beta_constraint, gamma_constraint)

    def lower(self, program: Program, source: int, training: bool, absorbed: bool) -> int:
        return program.row_norm(source, self.input_shape[-1], True, self.epsilon, self._tensor(program, "gamma"),
                                self._tensor(program, "beta"), self.trainable)
