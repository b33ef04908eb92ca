"""
A layer and a loss of your own
==============================

Quantile regression with a learned activation, both written in NumPy: a layer with a parameter for each feature, and the
pinball loss, whose minimum is a quantile of the target instead of its mean (Koenker and Bassett, 1978). Both run inside
the compiled training loop, which takes the GIL for them alone. You see what such a class has to define, and how a
gradient is checked.
"""

import matplotlib.pyplot as plt  # pip install "fastnn[viz]"
import numpy as np

import fastnn as fnn

# %%
# The layer
# ---------
# ``backward`` is given the gradient of the loss with respect to the outputs, writes that of the weights, and returns
# that of the inputs.


class LearnedSwish(fnn.layers.PythonLayer):
    """y = x * sigmoid(beta * x), with a beta for every feature (Ramachandran et al., 2017)."""

    def add_weights(self, input_shape):
        return {"beta": (input_shape, "ones")}

    def forward(self, x, training):
        beta = self.weights["beta"]
        gate = 1 / (1 + np.exp(-beta * x))
        if training:
            self.x, self.gate = x.copy(), gate  # for backward; x itself is a view of the engine's memory
        return x * gate

    def backward(self, dy):
        x, gate, beta = self.x, self.gate, self.weights["beta"]
        slope = gate * (1 - gate)
        self.gradients["beta"][...] = (dy * x * x * slope).sum(axis=0)
        return dy * (gate + beta * x * slope)


# %%
# The loss
# --------


class Pinball(fnn.losses.Loss):
    """mean over outputs of max(q * e, (q - 1) * e), with e = y_true - y_pred."""

    name = "pinball"

    def __init__(self, quantile):
        self.quantile = quantile

    def call(self, y_true, y_pred):
        error = y_true - y_pred
        return np.maximum(self.quantile * error, (self.quantile - 1) * error).mean(axis=1)

    def gradient(self, y_true, y_pred):
        return np.where(y_true > y_pred, -self.quantile, 1 - self.quantile) / y_pred.shape[1]


# %%
# Three quantiles of noisy data
# -----------------------------

rng = np.random.default_rng(0)
x = rng.uniform(-3, 3, (4000, 1))
y = np.sin(x[:, 0]) + rng.normal(0, 0.1 + 0.1 * np.abs(x[:, 0]))
grid = np.linspace(-3, 3, 200)[:, None]

fig, ax = plt.subplots()
ax.plot(x[3000:, 0], y[3000:], ".", color="lightgray", label="test data")
for quantile in (0.1, 0.5, 0.9):
    model = fnn.Sequential([
        fnn.layers.Dense(32), LearnedSwish(), fnn.layers.Dense(32, activation="tanh"), fnn.layers.Dense(1),
    ], seed=0, dtype="float64")
    model.compile(fnn.optimizers.Adam(0.003), Pinball(quantile))
    model.fit(x[:3000], y[:3000], batch_size=100, epochs=60, verbose=0)
    below = np.mean(y[3000:] < model.predict(x[3000:])[:, 0])
    print(f"quantile {quantile}: {below:.3f} of the test targets lie below the prediction")
    ax.plot(grid, model.predict(grid), label=f"quantile {quantile}")
ax.set(xlabel="x", ylabel="y", title="Quantiles, learned")
ax.legend()
plt.show()

# %%
# Is the gradient right?
# ----------------------
# The layer's own against a difference quotient, relative to the largest entry.

beta, analytic, numeric, step = model.layers[1].weights["beta"], model.gradients(x[:50], y[:50])[2], [], 1e-6
for i in range(beta.size):
    kept = beta[i]
    losses = []
    for beta[i] in (kept + step, kept - step):
        losses.append(model.evaluate(x[:50], y[:50]))
    numeric.append((losses[0] - losses[1]) / (2 * step))
    beta[i] = kept
print(f"gradient check of the layer: relative error {np.abs(analytic - numeric).max() / np.abs(numeric).max():.1e}")
