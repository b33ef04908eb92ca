"""A run of `fit`: where it stands, in a form that files hold and that a later run goes on from."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.callbacks.base import Callback, CallbackList, Logs, count, flag

__all__ = ["Run", "Saved"]

Array = NDArray[Any]
Spec = tuple[str, float, Array]  # kind, parameter and state of a metric

KEYS = {"plan", "epoch", "batch", "order", "told", "stop", "lent", "trainable", "trainable_at_first", "logs",
        "callbacks"}


@dataclass
class Run:
    """Where a run stands.

    plan : what a run that takes it up must have in common with it
    trainable_at_first : the layers' own flags before callbacks could change them, for the same reason
    order : number of the shuffle that the epoch takes its samples in, or None
    batch, loss_sum, specs : batches of the epoch that are done, and what they summed up to
    logs : the epoch's, once it is over and callbacks are told so
    told : how many callbacks knew of the end of the batch or epoch when a run was saved that goes on
    at_rest : whether callbacks are being told of the end of a batch or an epoch, when the state of all is known
    lent : whether the average is in the place of the weights just while they are saved
    saved : what is to be taken up as soon as an epoch has begun
    sparse : whether samples, or those of validation, are sparse matrices
    """

    calls: CallbackList
    plan: dict[str, Any]
    trainable_at_first: list[bool]
    epoch: int = 0
    batch: int = 0
    order: int | None = None
    loss_sum: float = 0.0
    specs: Sequence[Spec] = ()
    logs: Logs | None = None
    told: int = 0
    at_rest: bool = False
    lent: bool = False
    saved: Saved | None = None
    sparse: bool = False

    def begin(self, epoch: int, specs: Sequence[Spec]) -> None:
        """A new epoch."""
        self.epoch, self.batch, self.order, self.loss_sum, self.specs, self.logs = epoch, 0, None, 0.0, specs, None

    @property
    def remembering(self) -> list[Callback]:
        """The callbacks that have a memory; the others may be others where the run goes on."""
        return [callback for callback in self.calls.callbacks if callback.get_state()]

    def get_state(self, stop: bool, trainable: list[bool]) -> tuple[dict[str, Any], dict[str, Array]]:
        """A record for JSON, and arrays by name."""
        arrays = {"sums": np.concatenate([[self.loss_sum], *(state for _, _, state in self.specs)])}
        if self.logs is not None:
            arrays["logs"] = np.array(list(self.logs.values()), np.float64)
        callbacks = []
        remembering = self.remembering
        for i, callback in enumerate(remembering):
            plain, numbers = _packed(callback.get_state())
            callbacks.append({"class_name": type(callback).__name__, "state": plain})
            arrays |= {f"callbacks.{i}.{name}": array for name, array in numbers.items()}
        told = sum(callback in remembering for callback in self.calls.callbacks[:self.calls.told])
        record = {"plan": self.plan, "epoch": self.epoch, "batch": self.batch, "order": self.order, "told": told,
                  "stop": stop, "lent": self.lent, "trainable": trainable,
                  "trainable_at_first": self.trainable_at_first,
                  "logs": None if self.logs is None else list(self.logs), "callbacks": callbacks}
        return record, arrays

    def set_state(self, saved: Saved) -> None:
        """Where the saved run stood; callbacks get their memory back."""
        remembering = self.remembering
        for callback, state in zip(remembering, saved.callbacks, strict=True):
            try:
                callback.set_state(state)
            except (TypeError, LookupError, AttributeError) as error:
                raise ValueError(f"{type(callback).__name__} cannot take back its state: {error!r}") from error
        self.trainable_at_first = saved.trainable_at_first
        self.epoch, self.batch, self.order, self.logs = saved.epoch, saved.batch, saved.order, saved.logs
        self.told = self.calls.callbacks.index(remembering[saved.told - 1]) + 1 if saved.told else 0
        start = 1
        for _, _, sums in self.specs:
            sums[...] = saved.sums[start:start + sums.size]
            start += sums.size
        self.loss_sum = float(saved.sums[0])


@dataclass
class Saved:
    """The checked state of a run from a file; `restore` puts the model back to what it was then."""

    epoch: int
    batch: int
    order: int | None
    told: int
    stop: bool
    lent: bool
    trainable: list[bool]
    trainable_at_first: list[bool]
    logs: Logs | None
    sums: Array
    callbacks: list[dict[str, Any]]
    restore: Callable[[Saved], None]

    @classmethod
    def checked(cls, record: Any, arrays: Mapping[str, Array], run: Run, n_layers: int,
                restore: Callable[[Saved], None]) -> Saved:
        """ValueError unless it is the state of a run with the plan and the callbacks of `run`."""
        if not isinstance(record, dict) or record.keys() != KEYS:
            raise ValueError("it holds no run of fit: save inside on_epoch_end or on_train_batch_end of a callback, "
                             "with the optimizer, or use BackupAndRestore")
        _compare_plans(record["plan"], run.plan)
        arrays = dict(arrays)
        sums = arrays.pop("sums", None)
        if sums is None or sums.shape != (1 + sum(state.size for _, _, state in run.specs),):
            raise ValueError("the sums of loss and metrics are not those of this training")
        trainable, at_first = (_checked_flags(record[key], n_layers) for key in ("trainable", "trainable_at_first"))
        callbacks = _checked_callbacks(record["callbacks"], arrays, run.remembering)
        logs = _checked_logs(record["logs"], arrays.pop("logs", None))
        if arrays:
            raise ValueError(f"it has no place for {sorted(arrays)[:8]}")
        saved = cls(count("epoch", record["epoch"]), count("batch", record["batch"]),
                    None if record["order"] is None else count("order", record["order"]),
                    count("told", record["told"]), flag("stop", record["stop"]), flag("lent", record["lent"]),
                    trainable, at_first, logs, sums, callbacks, restore)
        if saved.told > len(callbacks):
            raise ValueError(f"{saved.told} of its {len(callbacks)} callbacks are said to know of it")
        n = run.plan["samples"]
        if isinstance(n, int) and not saved.batch <= -(-n // run.plan["batch_size"]):
            raise ValueError(f"it stands behind batch {saved.batch}, which an epoch has not")
        return saved


def _compare_plans(plan: Any, here: dict[str, Any]) -> None:
    if not isinstance(plan, dict) or plan.keys() != here.keys():
        raise ValueError(f"its plan is {plan!r}; {sorted(here)} are allowed")
    for name, value in here.items():
        if type(plan[name]) is not type(value) or plan[name] != value:
            raise ValueError(f"it is of a training with {name}={plan[name]!r}, here it is {value!r}: give fit the same "
                             "arguments, or remove the file to begin anew")


def _checked_flags(trainable: Any, n_layers: int) -> list[bool]:
    if not isinstance(trainable, list) or len(trainable) != n_layers:
        raise ValueError(f"it says of {trainable!r} whether they are trainable; the model has {n_layers} layers")
    return [flag("trainable", value) for value in trainable]


def _checked_callbacks(entries: Any, arrays: dict[str, Array], here: list[Callback]) -> list[dict[str, Any]]:
    """The state of each callback; their arrays are taken out of `arrays`."""
    if not isinstance(entries, list) or not all(
            isinstance(entry, dict) and entry.keys() == {"class_name", "state"} and isinstance(entry["state"], dict)
            for entry in entries):
        raise ValueError("its callbacks are no list of names and states")
    names, wanted = [entry["class_name"] for entry in entries], [type(callback).__name__ for callback in here]
    if names != wanted:
        raise ValueError(f"it is of a training with the callbacks {names}, here they are {wanted}: give fit the same "
                         "callbacks, or remove the file to begin anew")
    states = []
    for i, entry in enumerate(entries):
        prefix = f"callbacks.{i}."
        own = {name.removeprefix(prefix): arrays.pop(name) for name in list(arrays) if name.startswith(prefix)}
        states.append(entry["state"] | {name: array if array.ndim else float(array) for name, array in own.items()})
    return states


def _checked_logs(names: Any, values: Array | None) -> Logs | None:
    if names is None and values is None:
        return None
    if not isinstance(names, list) or values is None or values.shape != (len(names),) \
            or not all(isinstance(name, str) for name in names):
        raise ValueError("its logs are not one number for each name")
    return dict(zip(names, values.tolist(), strict=True))


def _packed(state: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Array]]:
    """What JSON can hold, and arrays; numbers that are not finite, which JSON has not, are arrays of no dimension."""
    plain, arrays = {}, {}
    for name, value in state.items():
        if isinstance(value, np.ndarray) or (isinstance(value, float) and not math.isfinite(value)):
            arrays[name] = np.asarray(value)
            if arrays[name].dtype not in (np.float32, np.float64, np.bool_):
                raise TypeError(f"{name} in the state of a callback is an array of {arrays[name].dtype}; float32, "
                                "float64 and bool are allowed")
        else:
            plain[name] = value
    return plain, arrays
