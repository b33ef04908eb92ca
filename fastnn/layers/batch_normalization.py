"""BatchNormalization: features with the mean and variance of the batch."""

from __future__ import annotations

from typing import Any

from fastnn import initializers
from fastnn._kernels.program import Program
from fastnn.layers.base import Parameter, parameter_property
from fastnn.layers.normalization import CentredAndScaled
from fastnn.named import number

__all__ = ["BatchNormalization"]


class BatchNormalization(CentredAndScaled):
    """Normalizes each feature over the batch: ``y = gamma * (x - mean) / sqrt(variance + epsilon) + beta``.

    While training, mean and variance (over n, not n - 1) are those of the batch, and after each step

        moving_mean     = momentum * moving_mean     + (1 - momentum) * mean
        moving_variance = momentum * moving_variance + (1 - momentum) * variance

    A batch whose loss is not finite changes neither. ``predict`` and ``evaluate`` normalize by the moving statistics,
    and so does training with ``trainable=False``. Features are the last axis; all others, such as the places of an
    image, count as rows. In a batch of one row, and no other axis, the variance is 0: outputs are `beta`, whatever the
    input, and its gradient is zero, as in Keras. (Ioffe and Szegedy, 2015.)

    An `Activation` and a `Dropout` right behind it run in the same pass. :meth:`fastnn.Sequential.fuse` makes it
    disappear for prediction.

    Parameters
    ----------
    axis : int, default -1
        Only the last one.
    momentum : float, default 0.99
        In [0, 1].
    epsilon : float, default 1e-3
        Not negative.
    center, scale : bool, default True
        Whether there is a beta, and a gamma.
    beta_initializer, moving_mean_initializer : str or Initializer, default "zeros"
    gamma_initializer, moving_variance_initializer : str or Initializer, default "ones"
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
    moving_mean, moving_variance : ndarray (n_features,)

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type, out of range or an unknown name.

    Examples
    --------
    >>> import fastnn as fnn
    >>> from fastnn.layers import Activation, BatchNormalization, Dense, Dropout
    >>> model = fnn.Sequential([Dense(64, use_bias=False), BatchNormalization(), Activation("relu"), Dropout(0.2),
    ...                         Dense(10, activation="softmax")])
    >>> model.build((784,))
    >>> list(model.layers[1].weights)
    ['gamma', 'beta', 'moving_mean', 'moving_variance']
    """

    moving_mean = parameter_property("moving_mean", "ndarray (n_features,): live view; assign to overwrite it.")
    moving_variance = parameter_property("moving_variance", "ndarray (n_features,): live view; assign to overwrite it.")

    def __init__(self, axis: int = -1, momentum: float = 0.99, epsilon: float = 1e-3, center: bool = True,
                 scale: bool = True, beta_initializer: Any = "zeros", gamma_initializer: Any = "ones",
                 moving_mean_initializer: Any = "zeros", moving_variance_initializer: Any = "ones",
                 beta_regularizer: Any = None, gamma_regularizer: Any = None, beta_constraint: Any = None,
                 gamma_constraint: Any = None, name: str | None = None, trainable: bool = True) -> None:
        super().__init__(name=name, trainable=trainable)
        self._configure(axis, epsilon, center, scale, beta_initializer, gamma_initializer, beta_regularizer,
                        gamma_regularizer, beta_constraint, gamma_constraint)
        self.momentum = number("momentum", momentum, "[0, 1]")
        self.moving_mean_initializer = initializers.get(moving_mean_initializer)
        self.moving_variance_initializer = initializers.get(moving_variance_initializer)

    def parameters(self, input_shape: tuple[int, ...]) -> dict[str, Parameter]:
        shape = (input_shape[-1],)
        return super().parameters(input_shape) | {
            "moving_mean": Parameter(shape, self.moving_mean_initializer, trainable=False),
            "moving_variance": Parameter(shape, self.moving_variance_initializer, trainable=False)}

    def lower(self, program: Program, source: int, training: bool, absorbed: bool) -> int:
        gamma, beta, mean, variance = (self._tensor(program, name)
                                       for name in ("gamma", "beta", "moving_mean", "moving_variance"))
        return program.batch_norm(source, self.input_shape[-1], self.momentum, self.epsilon, gamma, beta, mean,
                                  variance, self.trainable)
