"""
Residuals
=========

Predicted over true numbers of a regression, and how its errors are distributed.
"""

# %%
import numpy as np

import fastnn as fnn

rng = np.random.default_rng(0)
x = rng.normal(size=(2000, 3))
y = np.sin(2 * x[:, 0]) + x[:, 1] * x[:, 2] + 0.1 * rng.normal(size=2000)
model = fnn.Sequential([fnn.layers.Dense(64, "relu"), fnn.layers.Dense(64, "relu"), fnn.layers.Dense(1)], seed=0)
model.compile("adam", "mse")
history = model.fit(x[:1500], y[:1500], epochs=20, verbose=0)

# %%
# Samples that the model was not trained with are what counts.
axes = fnn.weights.plot.residuals(y[1500:], model.predict(x[1500:]))
