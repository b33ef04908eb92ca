"""Training in plain NumPy, of the twins in :mod:`fastnn.reference`: the rival of the benchmarks."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastnn import activations, optimizers, reference
from fastnn.layers.dense import Dense

if TYPE_CHECKING:
    from fastnn.model import Sequential

__all__ = ["ReferenceMLP"]

Array = NDArray[Any]

LOSSES = {"sparse_categorical_crossentropy": reference.softmax_crossentropy,
          "mean_squared_error": reference.mean_squared_error}
# Steps that serve rules of another name.
STEPS = {"nesterov": "momentum", "rmsprop_centered": "rmsprop", "amsgrad": "adam", "ftrl_power": "ftrl",
         "schedule_free": "schedule_free_adamw"}


class ReferenceMLP:
    """Dense layers trained step by step in NumPy.

    Parameters
    ----------
    kernels, biases : list of ndarray (n_in, n_out) and (n_out,)
        Changed in place by training.
    activation : str or Activation
        Of all layers but the last.
    loss : {"sparse_categorical_crossentropy", "mean_squared_error"}
        The first on the logits of the last layer.
    optimizer : str or Optimizer, default "adam"

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.reference_training import ReferenceMLP
    >>> mlp = ReferenceMLP([np.zeros((2, 1))], [np.zeros(1)], "relu", "mean_squared_error", "sgd")
    >>> mlp.step(np.ones((4, 2)), np.ones((4, 1)))
    1.0
    >>> mlp.kernels
    [array([[0.02],
           [0.02]])]
    """

    def __init__(self, kernels: list[Array], biases: list[Array], activation: Any, loss: str,
                 optimizer: Any = "adam") -> None:
        self.kernels, self.biases = kernels, biases
        self.activation = activations.get(activation)
        self.loss = LOSSES[loss]
        self.optimizer = optimizers.get(optimizer)
        self.steps = 0
        self._memory = 1.0  # Nadam's product
        self._params = [param for pair in zip(kernels, biases, strict=True) for param in pair]
        self._slots = [_first_slots(self.optimizer, param) for param in self._params]

    @classmethod
    def from_model(cls, model: Sequential) -> ReferenceMLP:
        """The dense layers of a compiled model, with copies of their weights."""
        layers = [layer for layer in model.layers if isinstance(layer, Dense)]
        assert model.loss is not None
        return cls([layer.kernel.copy() for layer in layers], [layer.bias.copy() for layer in layers],
                   layers[0].activation, model.loss.name, model.optimizer)

    def step(self, x: Array, y: Array) -> float:
        """One step on a batch; its mean loss before the step."""
        kept = [x]  # the input of each layer
        saved = []  # what each activation's derivative is computed from
        last = len(self.kernels) - 1
        for i, (kernel, bias) in enumerate(zip(self.kernels, self.biases, strict=True)):
            activation = None if i == last else self.activation
            z = np.empty((len(x), len(bias)), x.dtype) if activation and activation.needs_input else None
            kept.append(reference.dense_forward(kept[i], kernel, bias, activation, z=z))
            saved.append(kept[-1] if z is None else z)
        row_loss, dy = self.loss(kept[-1], y)
        dy /= len(x)
        gradients: list[Array] = []
        for i in reversed(range(last + 1)):
            activation = None if i == last else self.activation
            dx, *gradient = reference.dense_backward(dy, kept[i], self.kernels[i], saved[i], activation,
                                                     need_dx=i > 0)
            gradients[:0] = gradient
            if dx is not None:
                dy = dx
        self.steps += 1
        memory = self._memory
        for param, grad, slots in zip(self._params, gradients, self._slots, strict=True):
            self._memory = self._update(param, grad, slots, memory)
        return float(row_loss.mean())

    def train_epoch(self, x: Array, y: Array, batch_size: int,
                    rng: np.random.Generator | None = None) -> float:
        """One pass over the samples, shuffled by `rng` where it is given; their mean loss."""
        order = np.arange(len(x)) if rng is None else rng.permutation(len(x))
        total = 0.0
        for start in range(0, len(x), batch_size):
            rows = order[start:start + batch_size]
            batch = reference.gather_rows(x, rows, dtype=self.kernels[0].dtype)
            total += self.step(batch, y[rows]) * len(rows)
        return total / len(x)

    def _update(self, param: Array, grad: Array, slots: list[Any], memory: float) -> float:
        o: Any = self.optimizer
        t, name = self.steps, STEPS.get(o.kind, o.kind)
        step = getattr(reference, f"{name}_step")
        accepted = inspect.signature(step).parameters
        given: dict[str, Any] = {argument: getattr(o, argument) for argument, parameter in accepted.items()
                                 if parameter.kind is parameter.KEYWORD_ONLY and hasattr(o, argument)}
        rate = given["learning_rate"] = float(o.rates(t - 1, 1)[0])
        match name:
            case "rmsprop":
                named = dict(zip(o.slots, slots, strict=True))
                step(param, grad, named["velocity"], named.get("momentum"), named.get("average"), **given)
            case "adam":
                m, v, *v_hat = slots
                step(param, grad, m, v, t, v_hat=v_hat[0] if v_hat else None, **given)
            case "nadam":
                memory = step(param, grad, *slots, t, memory, **given)
            case "muon" if param.ndim == 2:
                step(param, grad, slots[0], **given)
            case "muon":
                param -= rate * (o.adam_weight_decay or 0.0) * param
                m, v = slots
                reference.adam_step(param, grad, m, v, t, learning_rate=rate * o.adam_lr_ratio, beta_1=o.adam_beta_1,
                                    beta_2=o.adam_beta_2, epsilon=o.epsilon)
            case _:
                step(param, grad, *slots, *([t] if "step" in accepted else []), **given)
        return memory


def _first_slots(optimizer: optimizers.Optimizer, param: Array) -> list[Any]:
    """What the optimizer remembers of a parameter before its first step."""
    if optimizer.kind == "adafactor":
        matrix = param.ndim == 2
        return [np.zeros(param.shape[:1] if matrix else param.shape), np.zeros(param.shape[1]) if matrix else None]
    return [param.copy() if value is None else np.full_like(param, value) for value in optimizer.slot_init]
