"""scikit-learn's MLP: an epoch is a `partial_fit` of all rows, a batch one of its rows."""

from __future__ import annotations

import numpy as np
from sklearn.neural_network import MLPClassifier, MLPRegressor

from contestants import Call, batches, repeated
from fastnn.works import Work

OPTIONS = {"solver": "adam", "alpha": 0.0, "random_state": 0}


def network(work: Work) -> MLPClassifier | MLPRegressor:
    kind = MLPClassifier if work.loss == "sparse_categorical_crossentropy" else MLPRegressor
    return kind(hidden_layer_sizes=work.sizes[1:-1], activation=work.activation, batch_size=work.batch,
                shuffle=work.steps > 1, **OPTIONS)


def epoch(work: Work, n_threads: int) -> Call:
    mlp, (x, y) = network(work), work.data()
    classes = {"classes": np.arange(work.sizes[-1])} if isinstance(mlp, MLPClassifier) else {}
    return repeated(lambda: mlp.partial_fit(x, y, **classes), work.epochs)


def train_on_batch(work: Work, n_threads: int) -> Call:
    mlp, pairs = network(work), batches(work, np.asarray)

    def call() -> None:
        for x, y in pairs:
            mlp.partial_fit(x, y)

    return call


def forward(work: Work, n_threads: int) -> Call:
    mlp, (x, y) = network(work), work.data()
    mlp.partial_fit(x, y)
    mlp.out_activation_ = work.last
    return repeated(lambda: mlp.predict(x), work.steps)
