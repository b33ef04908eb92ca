"""Discriminative learning rates: slower for the layers that know most already."""

from __future__ import annotations

from fastnn.model import Sequential
from fastnn.named import number
from fastnn.weights.transfer import named_weights

__all__ = ["discriminative"]


def discriminative(model: Sequential, factor: float = 2.6) -> dict[str, float]:
    """Give each layer a learning rate `factor` times smaller than that of the layer above it.

    Sets ``layer.learning_rate_multiplier``: 1 for the last layer, ``1 / factor`` for the one below it,
    ``1 / factor ** 2`` ... A layer of vectors only, such as a normalization, goes with the kernel before it, and
    what stands in a container with the container. (Howard and Ruder, 2018, whose factor is 2.6.)

    Parameters
    ----------
    model : Sequential
        A built model. It need not be compiled again.
    factor : float, default 2.6
        More than 0; 1 gives all layers one rate again.

    Returns
    -------
    dict of str to float
        The multiplier of each layer of the model that has weights.

    Raises
    ------
    TypeError, ValueError
        If `factor` is no number above 0, or the model is not built.

    Examples
    --------
    >>> import fastnn as fnn
    >>> model = fnn.Sequential([fnn.Input((4,)), fnn.layers.Dense(8, activation="relu"), fnn.layers.Dense(3)])
    >>> fnn.weights.discriminative(model, factor=4)
    {'dense': 0.25, 'dense_1': 1.0}
    """
    named_weights(model, "model")
    factor = number("factor", factor, "(0, inf)")
    multipliers, multiplier = {}, 1.0
    for layer in reversed(model.layers):
        if not layer.count_params():
            continue
        multipliers[layer.name] = multiplier
        if any(weight.ndim > 1 for member in layer.family() for weight in member.weights.values()):
            multiplier /= factor
    for layer in model.layers:
        if layer.name in multipliers:
            layer.learning_rate_multiplier = multipliers[layer.name]
    return {layer.name: multipliers[layer.name] for layer in model.layers if layer.name in multipliers}
