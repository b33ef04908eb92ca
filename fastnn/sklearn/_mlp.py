"""What the two estimators have in common: from parameters and data to a trained network."""

from __future__ import annotations

import threading
import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, issparse
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.metrics import get_scorer
from sklearn.model_selection import train_test_split
from sklearn.utils import _safe_indexing, check_random_state
from sklearn.utils.validation import _check_sample_weight, _get_feature_names, check_is_fitted, validate_data

from fastnn import activations, optimizers, regularizers
from fastnn._kernels.door import Exclusive
from fastnn.callbacks import Callback
from fastnn.errors import DivergenceError
from fastnn.inputs import check_finite
from fastnn.layers import Activation, BatchNormalization, Dense, Dropout, Input, Layer, SparseDense
from fastnn.schedules import LearningRateSchedule
from fastnn.sklearn._auto import checked_table, fit_table
from fastnn.sklearn._lbfgs import Packed, loss_and_gradient, minimise, refuse_of_epochs
from fastnn.sklearn._network import Network, Samples
from fastnn.sklearn._parameters import HIDDEN_ACTIVATIONS, check_elements, hidden_sizes, per_layer
from fastnn.sklearn._progress import Progress
from fastnn.sklearn._task import Objective, Orders, Task
from fastnn.sklearn._threads import threads_of
from fastnn.sparse import random_pattern
from fastnn.sparse_inputs import as_csr

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:  # scikit-learn before 1.9

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Nothing: there are no callbacks to support."""

    def with_callbacks(method: Any) -> Any:
        return method

__all__ = ["BaseMLP"]

Array = NDArray[Any]

NOT_FINITE = "Solver produced non-finite parameter weights. The input data may contain large values and need to be " \
             "preprocessed."
OUT_ACTIVATIONS = {"identity": "linear", "logistic": "sigmoid", "exp": "exponential"}   # scikit-learn's names
AUTO_BATCH = 200
BUSY = "{} was called while this estimator is being trained in another call; one training at a time is allowed"


class BaseMLP(CallbackSupportMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator, ABC):
    """Base of `MLPClassifier` and `MLPRegressor`: what ``preset="sklearn"`` does. `_auto` has the other preset."""

    n_iter_: int
    t_: int
    loss_: float
    best_loss_: float | None
    loss_curve_: list[float]
    validation_scores_: list[float] | None
    best_validation_score_: float | None
    history_: dict[str, list[float]]
    coefs_: list[Array]
    intercepts_: list[Array]
    model_: Network
    target_mean_: Array         # where preset="auto" standardised them
    target_scale_: Array

    # ---- what the estimators say ----------------------------------------------------------------------------

    @abstractmethod
    def _encode(self, X: Any, y: Any, first: bool, incremental: bool) -> Array:
        """Targets for the engine: int32 labels (n,), or rows (n, n_outputs) of any dtype."""

    @abstractmethod
    def _objective(self, n_outputs: int) -> tuple[Objective, str]:
        """What to minimise, and scikit-learn's name of the last layer's activation."""

    @abstractmethod
    def _own_score(self, outputs: Array, targets: Array, weight: Array | None) -> float:
        """The score that early stopping goes by."""

    @abstractmethod
    def _class_weights(self, y: Array) -> Array | None:
        """A weight for each sample by its class, or None."""

    @property
    @abstractmethod
    def _n_outputs(self) -> int:
        """Of the network for the targets that `_encode` saw."""

    # ---- fit ------------------------------------------------------------------------------------------------

    @with_callbacks
    def fit(self, X: Any, y: Any, sample_weight: Any = None, *, X_val: Any = None, y_val: Any = None,
            sample_weight_val: Any = None) -> Any:
        """Train on X and y.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array-like of shape (n_samples,), optional
        X_val, y_val, sample_weight_val : as X, y and sample_weight, optional
            A validation set, in the place of the one that early stopping takes from X.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            For what scikit-learn refuses, and if the training diverges, in the epoch in which it does.
        RuntimeError
            If the estimator is being trained in another call.
        """
        with self._exclusively("fit"):
            return self._fit(X, y, sample_weight, (X_val, y_val, sample_weight_val), incremental=False)

    def _exclusively(self, what: str) -> Exclusive:
        """Refuse a second training while one is running."""
        return Exclusive(self.__dict__.setdefault("_busy", threading.Lock()), BUSY, what)

    def _fit(self, X: Any, y: Any, sample_weight: Any, given_validation: tuple[Any, Any, Any],
             incremental: bool) -> Any:
        self._validate_params()
        if self.early_stopping and incremental:
            raise ValueError("partial_fit does not support early_stopping=True")
        X_val, y_val, weight_val = given_validation
        if X_val is None and not (y_val is None and weight_val is None):
            raise ValueError("y_val and sample_weight_val need X_val; received X_val=None")
        if X_val is not None and y_val is None:
            raise ValueError("X_val needs y_val; received y_val=None")
        if self.preset == "auto":
            fit_table(self, X, y, sample_weight, given_validation)
            return self
        if self.n_ens != 1:
            raise ValueError(f"n_ens={self.n_ens} needs preset='auto'; received preset={self.preset!r}")
        if "encoder_" in self.__dict__:     # of a fit with the other preset, from which this one cannot go on
            del self.encoder_, self.coefs_
        if self._solver == "lbfgs":
            refuse_of_epochs(self, given_validation[0])
        sizes = hidden_sizes(self.hidden_layer_sizes)
        densities = per_layer("density", self.density, len(sizes), "hidden layer")
        first = not hasattr(self, "coefs_") or (not self.warm_start and not incremental)
        if not first:
            self._check_layers(sizes, densities)
        X_given = X
        X, y = self._checked(X, y, reset=first)
        encoded = self._encode(X, y, first, incremental)
        weight = self._weights(sample_weight, X, encoded)
        self._random_state = check_random_state(self.random_state)
        dtype = "float64" if self._solver == "lbfgs" else X.dtype.name
        if first:
            self._initialize([X.shape[1], *sizes, self._n_outputs], densities, dtype)
        if self._solver != "lbfgs" and "best_loss_" not in self.__dict__:
            self._begin_stopping_rule(self.early_stopping)
        batch = self._batch_size(X.shape[0])
        network = self._network(dtype, float(batch))
        task = self._task(network, X, y, encoded, weight, given_validation, self._scored(X_given, X))
        if not incremental or network.optimizer is None or isinstance(network.optimizer, optimizers.LBFGS):
            network.compile(self._optimizer_of_parameters(), task.objective.loss)
        try:
            if self._solver == "lbfgs":
                minimise(self, network, task)
            else:
                if self.batch_size != "auto" and self.batch_size > task.samples.n:
                    warnings.warn("Got `batch_size` less than 1 or larger than sample size. It is going to be clipped",
                                  stacklevel=3 if incremental else 4)
                self._epochs(network, task, min(batch, task.samples.n), 1 if incremental else self.max_iter,
                             incremental)
        except DivergenceError as error:
            raise ValueError(f"{NOT_FINITE} {error}") from error
        if not np.isfinite(network._flat).all():
            raise ValueError(NOT_FINITE)
        if network.dtype != X.dtype.name and first:
            self._rebuild(X.dtype.name, network.reference)
        return self

    def _epochs(self, network: Network, task: Task, batch: int, epochs: int, incremental: bool = False,
                kind: type[Progress] = Progress) -> None:
        root = None
        if self._has_skl_callbacks:
            root = self._init_callback_context(max_subtasks=epochs)
            root.call_on_fit_task_begin(estimator=self, X=task.X, y=task.y)
        progress = kind(self, task, incremental, root)
        orders = Orders(task.samples.n, self._random_state) if self.shuffle else None
        self.n_iter_, self.history_ = 0, getattr(self, "history_", {})
        try:
            network.train(task.samples, task.validation_data, orders, batch, epochs,
                          [progress, *self._own_callbacks()], task.threads)
        except KeyboardInterrupt:
            warnings.warn("Training interrupted by user.", stacklevel=3)
        if progress.best is not None:
            network._flat[...] = progress.best
        if root is not None:
            root.call_on_fit_task_end(estimator=self, X=task.X, y=task.y, reconstruction_attributes={})

    def _validate_params(self) -> None:
        super()._validate_params()
        check_elements(self.get_params(deep=False))

    # ---- data -----------------------------------------------------------------------------------------------

    def _checked(self, X: Any, y: Any, reset: bool) -> tuple[Any, Any]:
        tags = {"y_numeric": True} if self.__sklearn_tags__().estimator_type == "regressor" else {}
        X, y = validate_data(self, X, y, accept_sparse=["csr", "csc"], multi_output=True,
                             dtype=(np.float64, np.float32), reset=reset, **tags)
        if issparse(X):
            rows = as_csr(X, "X")   # checked before scipy reads what the matrix says
            X = csr_array((rows.values, rows.indices, rows.indptr), shape=rows.shape)
        return X, y

    def _weights(self, sample_weight: Any, X: Any, y: Array) -> Array | None:
        weight = self._class_weights(y)
        if sample_weight is not None:
            own = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
            with np.errstate(over="ignore"):
                weight = own if weight is None else weight * own
        return _counting(weight)

    @property
    def _has_skl_callbacks(self) -> bool:
        """Whether callbacks of scikit-learn's, its own or a search's, watch the fit."""
        return hasattr(self, "_skl_callbacks") or hasattr(self, "_parent_callback_ctx")

    def _scored(self, given: Any, X: Any) -> Any:
        """What scorers get: the frame whose columns' names they would miss, else the checked array."""
        wanted = self.scoring is not None or self._has_skl_callbacks
        return given if wanted and _get_feature_names(given) is not None else X

    def _task(self, network: Network, X: Any, y: Any, encoded: Array, weight: Array | None,
              given: tuple[Any, Any, Any], scored: Any) -> Task:
        X_val, y_val, weight_val = given
        encoded_val = scored_val = None
        if X_val is not None:
            scored_val = X_val
            X_val, y_val = self._checked(X_val, y_val, reset=False)
            scored_val = self._scored(scored_val, X_val)
            encoded_val = self._encode(X_val, y_val, False, True)
            weight_val = self._weights(weight_val, X_val, encoded_val)
        elif self.early_stopping and self._solver != "lbfgs":
            ((scored, X, y, encoded, weight), (scored_val, X_val, y_val, encoded_val, weight_val)
             ) = self._split(scored, X, y, encoded, weight)
        objective, _ = self._objective(network.n_outputs)
        samples = self._samples(network, X, encoded, weight, objective)
        validation = None if X_val is None else self._samples(network, X_val, encoded_val, weight_val, objective)
        if validation is not None:
            validation.normalise(validation.n, None)
        return Task(scored, y, weight, samples, objective, self._threads(), self._own_score, self._scorers(),
                    validation, scored_val, y_val, weight_val)

    def _samples(self, network: Network, X: Any, y: Any, weight: Array | None, objective: Objective) -> Samples:
        if y.ndim == 1 and not objective.loss.sparse:
            y = y[:, None] == np.arange(network.n_outputs)
        if y.ndim == 2:
            y = np.ascontiguousarray(y, dtype=network.dtype)
            if not np.isfinite(y).all():
                raise ValueError(f"y contains numbers too large for {network.dtype}")
        X = _readable(X, network)
        return Samples(X, y, weight, objective.factor, network.n_outputs, objective.offsets(y))

    def _split(self, scored: Any, X: Any, y: Any, encoded: Array,
               weight: Array | None) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """What is trained on and what is held out, as scikit-learn draws it: by class where there are two."""
        stratify = np.where(encoded[:, 0], "True", "False") if self._labels_kind() == "binary" else None
        train, test = train_test_split(np.arange(X.shape[0]), random_state=self._random_state,
                                       test_size=self.validation_fraction, stratify=stratify)
        if len(test) < 2:
            raise ValueError("The validation set is too small. Increase 'validation_fraction' or the size of your "
                             "dataset.")
        parts = [tuple(None if a is None else a[rows] for a in (X, y, encoded, weight)) for rows in (train, test)]
        for *_, weight in parts:
            _counting(weight)
        of_scorers = [part[0] if scored is X else _safe_indexing(scored, rows)
                      for part, rows in zip(parts, (train, test), strict=True)]
        return (of_scorers[0], *parts[0]), (of_scorers[1], *parts[1])

    def _labels_kind(self) -> str | None:
        return None

    # ---- the network ----------------------------------------------------------------------------------------

    @property
    def _solver(self) -> str:
        if self.optimizer is None:
            return self.solver
        return "lbfgs" if isinstance(optimizers.get(self.optimizer), optimizers.LBFGS) else "own"

    def _check_layers(self, sizes: list[int], densities: list[float]) -> None:
        """Of the network that is trained on, which the parameters cannot change."""
        own = [int(np.shape(coef)[1]) for coef in self.coefs_[:-1]], getattr(self, "_densities", densities)
        if own != (sizes, densities):
            raise ValueError(f"hidden_layer_sizes={sizes} and density={densities} are not those of the network that is "
                             f"trained on, {own[0]} and {own[1]}; fit with warm_start=False begins anew")

    def _batch_size(self, n: int) -> int:
        if self._solver == "lbfgs":
            return n
        if self.batch_size == "auto":
            return min(AUTO_BATCH, n)
        return min(int(self.batch_size), n)

    def _initialize(self, units: Sequence[int], densities: list[float], dtype: str) -> None:
        """The attributes of a fit that begins, and initial parameters in scikit-learn's order of draws."""
        self.n_iter_ = self.t_ = 0
        self.n_layers_, self.n_outputs_ = len(units), units[-1]
        _, self.out_activation_ = self._objective(self.n_outputs_)
        self.coefs_, self.intercepts_ = [], []
        names = self._activations(len(units) - 2)
        self._densities = densities
        for (n_in, n_out), name, density in zip(pairwise(units), [*names, names[-1] if names else self.activation],
                                                [*densities, 1.0], strict=True):
            bound = np.sqrt((2.0 if name == "logistic" else 6.0) / (density * (n_in + n_out)))
            self.coefs_.append(self._kernel(n_in, n_out, density, bound, dtype))
            self.intercepts_.append(self._random_state.uniform(-bound, bound, n_out).astype(dtype, copy=False))
        self.loss_curve_, self.history_ = [], {}
        for name in ("model_", "best_loss_", "validation_scores_", "best_validation_score_"):
            self.__dict__.pop(name, None)

    def _begin_stopping_rule(self, validates: bool) -> None:
        """The attributes by which training is stopped; lbfgs has a rule of its own, and none of them."""
        self._no_improvement_count = 0
        self.best_loss_ = None if validates else np.inf
        self.validation_scores_ = [] if validates else None
        self.best_validation_score_ = -np.inf if validates else None

    def _kernel(self, n_in: int, n_out: int, density: float, bound: float, dtype: str) -> Any:
        """Uniform numbers, (n_in, n_out); below a density of 1 at random places."""
        if density == 1:
            return self._random_state.uniform(-bound, bound, (n_in, n_out)).astype(dtype, copy=False)
        count = max(1, round(density * n_in * n_out))
        pattern = random_pattern((n_in, n_out), count, int(self._random_state.randint(np.iinfo(np.int32).max)))
        return pattern.matrix(self._random_state.uniform(-bound, bound, count).astype(dtype, copy=False))

    def _activations(self, n_hidden: int) -> list[Any]:
        return per_layer("activation", self.activation, n_hidden, "hidden layer")

    def _recipe(self) -> tuple[Any, ...]:
        """What the layers are made of: with another one they are made anew."""
        return (self.activation, self.alpha, self.dropout, self.batch_norm, self.loss, self.out_activation_)

    def _network(self, dtype: str, reference: float) -> Network:
        """The network with the parameters of now; made anew where it does not fit the estimator's parameters."""
        network = self.__dict__.get("model_")
        if network is None or self._made_of != self._recipe() or (network.dtype != dtype and self._solver == "lbfgs"):
            return self._rebuild(dtype, reference)
        return self._current()

    def _rebuild(self, dtype: str, reference: float) -> Network:
        units = [np.shape(self.coefs_[0])[0], *(np.shape(coef)[1] for coef in self.coefs_)]
        layers = self._layers(units, reference)
        seed = self._random_state.randint(np.iinfo(np.int32).max) if self._is_random else 0
        network = Network([Input((units[0],)), *layers], seed=seed, dtype=dtype, name=type(self).__name__.lower())
        network.build((units[0],))
        network.reference = reference
        if "model_" in self.__dict__:
            network.take_over(self.model_, self._objective(units[-1])[0].loss)
        self.model_, self._made_of = network, self._recipe()
        self._current()
        return network

    @property
    def _is_random(self) -> bool:
        """Whether training draws numbers besides the orders of samples."""
        return bool(np.any(self.dropout))

    def _layers(self, units: Sequence[int], reference: float) -> list[Layer]:
        n_hidden = len(units) - 2
        alphas = per_layer("alpha", self.alpha, n_hidden + 1, "layer")
        norms = per_layer("batch_norm", self.batch_norm, n_hidden, "hidden layer")
        rates = per_layer("dropout", self.dropout, n_hidden, "hidden layer")
        names = self._activations(n_hidden)
        layers: list[Layer] = []
        last = activations.get(OUT_ACTIVATIONS.get(self.out_activation_, self.out_activation_))
        for i, size in enumerate(units[1:]):
            penalty = regularizers.L2(alphas[i] / 2 / reference) if alphas[i] else None
            if i == n_hidden:
                layers.append(Dense(size, last, kernel_regularizer=penalty))
                continue
            name = names[i]
            activation = activations.get(HIDDEN_ACTIVATIONS.get(name, name) if isinstance(name, str) else name)
            own = None if norms[i] else activation
            if issparse(self.coefs_[i]):
                layers.append(SparseDense(size, own, kernel=self.coefs_[i], kernel_regularizer=penalty))
            else:
                layers.append(Dense(size, own, kernel_regularizer=penalty))
            layers += [BatchNormalization(), Activation(activation)] if norms[i] else []
            layers += [Dropout(rates[i])] if rates[i] else []
        return layers

    def _current(self) -> Network:
        """The network, with what was assigned to ``coefs_`` and ``intercepts_`` since the last call."""
        network: Network = self.model_
        for name, parameter, views in (("coefs_", "kernel", network.views()[0]),
                                       ("intercepts_", "bias", network.views()[1])):
            if not isinstance(getattr(self, name), list):
                setattr(self, name, list(getattr(self, name)))
            own = getattr(self, name)
            if len(own) != len(views):
                raise ValueError(f"{name} must have {len(views)} arrays; received {len(own)}")
            for i, (layer, view) in enumerate(zip(network.dense, views, strict=True)):
                if own[i] is view:
                    continue
                if np.shape(own[i]) != view.shape:
                    raise ValueError(f"{name}[{i}] must have shape {view.shape}; received {np.shape(own[i])}")
                setattr(layer, parameter, own[i])
                own[i] = view
        return network

    # ---- training -------------------------------------------------------------------------------------------

    def _optimizer_of_parameters(self) -> optimizers.Optimizer:
        if self._solver == "lbfgs":
            return optimizers.LBFGS()
        rate = self.learning_rate if isinstance(self.learning_rate, LearningRateSchedule) else self.learning_rate_init
        if self.optimizer is not None:
            by_name = isinstance(self.optimizer, str)
            config = {"name": self.optimizer, "learning_rate": rate} if by_name else self.optimizer.get_config()
            config |= {} if self.clipnorm is None else {"clipnorm": self.clipnorm}
            return optimizers.get(config)   # an object of the caller's stays as it is: fit changes no parameters
        if self.solver == "sgd":
            return optimizers.SGD(rate, self.momentum, bool(self.nesterovs_momentum), clipnorm=self.clipnorm)
        return optimizers.Adam(rate, self.beta_1, self.beta_2, self.epsilon, clipnorm=self.clipnorm)

    @property
    def _optimizer(self) -> Any:
        """What scikit-learn calls so: has the learning rate of now."""
        return self.model_.optimizer

    def _own_callbacks(self) -> list[Callback]:
        callbacks = self.callbacks
        return [callbacks] if isinstance(callbacks, Callback) else list(callbacks or ())

    def _scorers(self) -> Mapping[str, Any]:
        scoring = self.scoring
        if scoring is None:
            return {}
        scorers: dict[str, Any] = {}
        taken = {"loss", "val_loss"}
        for given in scoring if isinstance(scoring, (list, tuple)) else [scoring]:
            scorer = get_scorer(given)
            name = given if isinstance(given, str) else _name_of(scorer)
            if taken & {name, f"val_{name}"}:
                raise ValueError(f"scoring needs one name for each score, besides 'loss' and 'val_loss'; received "
                                 f"{name!r} again: give the function another __name__")
            taken |= {name, f"val_{name}"}
            scorers[name] = scorer
        return scorers

    def _threads(self) -> int:
        return threads_of(self.n_jobs)

    def _loss_grad_lbfgs(self, packed_coef_inter: Array, X: Any, y: Array, sample_weight: Array | None = None,
                         *unused: Any) -> tuple[float, Array]:
        """Loss and gradient at a vector of kernels and biases, for binarized y, under scikit-learn's name; its buffers
        are not needed."""
        network = self._network("float64", float(X.shape[0]))
        objective, _ = self._objective(network.n_outputs)
        encoded = y.argmax(axis=1).astype(np.int32) if objective.loss.sparse else y
        network.compile(self._optimizer_of_parameters(), objective.loss)
        samples = self._samples(network, X, encoded, sample_weight, objective)
        return loss_and_gradient(Packed(network), samples, objective, self._threads(), packed_coef_inter)

    # ---- outputs --------------------------------------------------------------------------------------------

    def _rows(self, X: Any) -> tuple[Network, Any]:
        check_is_fitted(self)
        if "encoder_" in self.__dict__:
            return self._current(), self.encoder_.transform(checked_table(self, X, reset=False))
        X = validate_data(self, X, accept_sparse=["csr", "csc"], dtype=(np.float64, np.float32), reset=False)
        network = self._current() if "model_" in self.__dict__ else self._rebuild(self.coefs_[0].dtype.name, 1.0)
        return network, _readable(X, network)

    def _outputs(self, X: Any) -> Array:
        """What the last layer gives, (n, n_outputs)."""
        network, X = self._rows(X)
        return network.outputs(X, self._threads())

    def transform(self, X: Any) -> Array:
        """Outputs of the last hidden layer.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, hidden_layer_sizes[-1])
        """
        network, X = self._rows(X)
        return network.hidden(X, self._threads())

    @property
    def _n_features_out(self) -> int:
        return self.model_.n_hidden if "encoder_" in self.__dict__ else int(np.shape(self.coefs_[-1])[0])

    def _check_solver(self) -> bool:
        if self.preset == "auto":
            raise AttributeError("partial_fit is not available with preset='auto', which looks at all samples first.")
        if self._solver == "lbfgs":
            raise AttributeError("partial_fit is only available for stochastic optimizers. lbfgs is not stochastic.")
        return True

    # ---- copies ---------------------------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        """The parameters are in the network; what scikit-learn calls ``coefs_`` are views of them."""
        if "model_" in self.__dict__:
            self._current()
        state = dict(super().__getstate__())
        state.pop("_busy", None)
        if "model_" in state:
            state.pop("coefs_")
            state.pop("intercepts_")
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "model_" in self.__dict__:
            self.coefs_, self.intercepts_ = (list(views) for views in self.model_.views())

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        first = self.density[0] if isinstance(self.density, (list, tuple)) and self.density else self.density
        tags.input_tags.sparse = self.preset != "auto" and first == 1   # sparse kernels take dense samples
        tags.input_tags.allow_nan = self.preset == "auto"
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _name_of(scorer: Any) -> str:
    """Of a function, or of the metric in a scorer of scikit-learn."""
    return str(getattr(scorer, "__name__", getattr(getattr(scorer, "_score_func", None), "__name__", "score")))


def _readable(X: Any, network: Network) -> Any:
    """X as the engine reads it; ValueError for numbers too large for it, and for a sparse matrix whose indices are out
    of range."""
    if not issparse(X):
        if X.dtype.name != network.dtype:
            check_finite(X, "X", network.dtype)
        return X
    if isinstance(network.dense[0], SparseDense):
        raise ValueError("density below 1 in the first layer takes no sparse samples: X.toarray()")
    return as_csr(X, "X", network.dtype)


def _counting(weight: Array | None) -> Array | None:
    """Sample weights >= 0 by whose sum a loss can be divided."""
    if weight is not None and not weight.any():
        raise ValueError("Sample weights must contain at least one non-zero number.")
    with np.errstate(over="ignore"):
        if weight is not None and not np.isfinite(weight.sum()):
            raise ValueError(f"Sample weights must have a finite sum in float64; the largest is {weight.max():g}")
    return weight
