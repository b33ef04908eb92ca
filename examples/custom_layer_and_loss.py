"""A layer and a loss of your own, in NumPy: quantile regression with a learned swish.

The layer has one parameter per feature; the loss is the pinball loss, whose minimum is a quantile of the
target instead of its mean (Koenker and Bassett, 1978). Both run inside the compiled training loop, which
takes the GIL for them alone.

Run: python examples/custom_layer_and_loss.py        (a few seconds)
"""

import numpy as np

import fastnn as fnn


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


def network(quantile):
    model = fnn.Sequential(
        [fnn.layers.Dense(32), LearnedSwish(), fnn.layers.Dense(32, activation="tanh"), fnn.layers.Dense(1)],
        seed=0,
        dtype="float64",
    )
    model.compile(fnn.optimizers.Adam(0.003), Pinball(quantile))
    return model


def largest_gradient_error(model, x, y, step=1e-6):
    """The layer's gradient against a difference quotient, relative to the largest entry."""
    beta, loss = model.layers[1].weights["beta"], model.evaluate
    analytic = model.gradients(x, y)[2]
    numeric = np.empty_like(beta)
    for i in range(beta.size):
        kept = beta[i]
        beta[i] = kept + step
        above = loss(x, y)
        beta[i] = kept - step
        numeric[i] = (above - loss(x, y)) / (2 * step)
        beta[i] = kept
    return np.abs(analytic - numeric).max() / np.abs(numeric).max()


def main() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(-3, 3, (4000, 1))
    y = np.sin(x[:, 0]) + rng.normal(0, 0.1 + 0.1 * np.abs(x[:, 0]))
    for quantile in (0.1, 0.5, 0.9):
        model = network(quantile)
        model.fit(x[:3000], y[:3000], batch_size=100, epochs=60, verbose=0)
        below = np.mean(y[3000:] < model.predict(x[3000:])[:, 0])
        print(f"quantile {quantile}: {below:.3f} of the test targets lie below the prediction")
    print(f"gradient check of the layer: relative error {largest_gradient_error(model, x[:50], y[:50]):.1e}")


if __name__ == "__main__":
    main()
