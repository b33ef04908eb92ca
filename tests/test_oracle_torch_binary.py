"""Layers of few values beside torch, whose autograd goes straight through functions written for it."""

from __future__ import annotations

import numpy as np
import pytest

import fastnn as fnn
from fastnn.layers import BatchNormalization, BinaryDense, TernaryDense

torch = pytest.importorskip("torch", reason="not installed: torch")


class Straight(torch.autograd.Function):
    """Values of two or three kinds, with the gradient of min(max(x, -1), 1)."""

    @staticmethod
    def forward(ctx, x, values, threshold):
        ctx.save_for_backward(x)
        if values == "ternary":
            return (x > threshold).to(x) - (x < -threshold).to(x)
        ones = (x >= 0).to(x)
        return 2 * ones - 1 if values == "sign" else ones

    @staticmethod
    def backward(ctx, dy):
        (x,) = ctx.saved_tensors
        return dy * (x.abs() <= 1), None, None


@pytest.mark.parametrize("values", ["sign", "binary_step", "ternary"])
def test_200_steps_end_where_torch_ends(values):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(64, 9)), rng.integers(3, size=64)

    def make(units, **more):
        if values == "ternary":
            return TernaryDense(units, threshold=0.2, kernel_initializer="random_uniform", **more)
        return BinaryDense(units, mode="sign" if values == "sign" else "01", **more)

    model = fnn.Sequential([fnn.Input((9,)), make(12), BatchNormalization(momentum=0.9),
                            fnn.layers.Activation("sign"), make(8, activation="sign"),
                            make(3, activation="softmax")], seed=1, dtype="float64")
    model.compile(fnn.optimizers.SGD(0.05, momentum=0.9), "sparse_categorical_crossentropy")
    for layer in (model.layers[0], *model.layers[3:]):
        layer.kernel = rng.uniform(-0.9, 0.9, layer.kernel.shape)
    weights = [torch.tensor(weight.copy(), requires_grad=True) for weight in model.get_weights()]
    w, b, gamma, beta, _, _, v, c, u, d = weights
    trained = [w, b, gamma, beta, v, c, u, d]
    optimizer = torch.optim.SGD(trained, lr=0.05, momentum=0.9)
    inputs, labels = torch.tensor(x), torch.tensor(y)
    threshold = 0.2 if values == "ternary" else 0.0
    norm = torch.nn.functional.batch_norm
    for step in range(200):
        rows = slice(step % 4 * 16, step % 4 * 16 + 16)
        z = norm(inputs[rows] @ Straight.apply(w, values, threshold) + b, None, None, gamma, beta, True, 0.0, 0.001)
        h = Straight.apply(Straight.apply(z, "sign", 0) @ Straight.apply(v, values, threshold) + c, "sign", 0)
        loss = torch.nn.functional.cross_entropy(h @ Straight.apply(u, values, threshold) + d, labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            for kernel in (w, v, u):
                kernel.clamp_(-1, 1)
    model.fit(x, y, epochs=50, batch_size=16, shuffle=False, verbose=0)
    for name, got, want in zip([name for name, _ in model._named_weights()], model.get_weights(), weights, strict=True):
        if "moving" not in name:
            np.testing.assert_allclose(got, want.detach().numpy(), rtol=1e-9, atol=1e-12, err_msg=name)
    assert (np.abs(model.layers[0].kernel) == 1).any()
