"""The learning-rate finder: its curve, its suggestions, and that the model does not notice."""

import builtins
import math

import numpy as np
import pytest

import fastnn as fnn
from fastnn.lr_finder import LRCurve

X = np.random.default_rng(0).normal(size=(200, 6))
Y = np.tanh(X[:, :1])


def new_model(optimizer="adam", loss="mse", **options):
    model = fnn.Sequential([fnn.layers.Dense(16, "relu"), fnn.layers.Dropout(0.2), fnn.layers.Dense(1)], seed=3,
                           dtype="float64", **options)
    model.compile(optimizer, loss)
    return model


def state_of(model):
    state = model._state
    return [*model.get_weights(), *(state.slots if state else ()), [state.step if state else 0],
            state.memory if state else [], [model._shuffles], [model.seed]]


def same(a, b):
    assert len(a) == len(b)
    for one, other in zip(a, b, strict=True):
        np.testing.assert_array_equal(one, other)


def test_rates_and_losses():
    curve = fnn.lr_find(new_model(), X, Y, start=1e-6, end=1.0, steps=61, batch_size=16)
    np.testing.assert_allclose(curve.rates, np.geomspace(1e-6, 1.0, 61)[:len(curve.rates)], rtol=1e-12)
    assert curve.losses.shape == curve.smoothed.shape == curve.rates.shape
    weights = 0.98 ** np.arange(20)[::-1]
    assert curve.smoothed[19] == pytest.approx((weights * curve.losses[:20]).sum() / weights.sum(), rel=1e-12)
    assert 1e-6 < curve.valley < 1 and 1e-6 < curve.steepest < 1
    assert curve.suggestion == curve.valley and "suggestion" in repr(curve)


@pytest.mark.parametrize("shuffle", [False, True])
def test_losses_are_those_of_training(shuffle):
    """Batch by batch, over several epochs, with the model's own order and masks."""
    curve = fnn.lr_find(new_model(), X, Y, end=0.1, steps=30, batch_size=32, shuffle=shuffle)
    twin, losses = new_model(fnn.optimizers.Adam(1.0)), []
    twin.build((6,))
    for _ in range(5):
        index = twin._shuffled(200) if shuffle else np.arange(200)
        for start in range(0, 200, 32):
            if len(losses) < 30:
                twin.optimizer.learning_rate = float(curve.rates[len(losses)])
                rows = index[start:start + 32]
                losses.append(twin.train_on_batch(X[rows], Y[rows]))
    np.testing.assert_allclose(curve.losses, losses, rtol=1e-9)


def test_the_model_stays_as_it_was():
    model, untouched = new_model("nadam"), new_model("nadam")
    for one in (model, untouched):
        one.fit(X, Y, epochs=2, verbose=0)
    before, history = state_of(model), model.history
    fnn.lr_find(model, X, Y)
    fnn.lr_find(model, X, Y, end=1e9, steps=300)        # runs away
    same(state_of(model), before)
    assert model.history is history and model.optimizer.learning_rate == 0.001
    model.fit(X, Y, epochs=2, verbose=0)
    untouched.fit(X, Y, epochs=2, verbose=0)
    same(state_of(model), state_of(untouched))


def test_errors_leave_the_model_as_it_was():
    class Failing(fnn.losses.MeanSquaredError):
        calls = 0

        def kernel(self, last_activation):
            return None, False

        def call(self, y_true, y_pred):
            Failing.calls += 1
            if Failing.calls == 20:
                raise KeyboardInterrupt
            return ((y_true - y_pred) ** 2).mean(axis=1)

        def gradient(self, y_true, y_pred):
            return 2 * (y_pred - y_true) / y_pred.shape[1]

    model = new_model("sgd", Failing())
    model.build((6,))
    before = state_of(model)
    with pytest.raises(KeyboardInterrupt):
        fnn.lr_find(model, X, Y)
    same(state_of(model), before)
    model.fit(X, Y, verbose=0)


def test_an_unbuilt_model_stays_unbuilt():
    model = new_model()
    assert len(fnn.lr_find(model, X, Y, steps=10).rates) == 10
    assert not model.built and model.optimizer.learning_rate == 0.001


def test_a_schedule_does_not_matter():
    curve = fnn.lr_find(new_model(fnn.optimizers.Adam(fnn.schedules.CosLog4(0.1, 100))), X, Y, steps=40)
    same([curve.losses], [fnn.lr_find(new_model(), X, Y, steps=40).losses])


def test_it_stops_where_the_loss_runs_away():
    curve = fnn.lr_find(new_model("sgd"), X, Y, end=1e6, steps=200)
    assert curve.diverged and len(curve.rates) < 200
    assert curve.smoothed[-1] > 4 * curve.smoothed.min() or not np.isfinite(curve.losses).all()
    assert curve.suggestion < curve.rates[-1]
    far = fnn.lr_find(new_model("sgd"), X, Y, end=1e6, steps=200, stop_when_diverged=False)
    assert far.diverged and len(curve.rates) < len(far.rates) < 200     # until a loss was not finite
    assert np.isfinite(far.losses).all()


@pytest.mark.parametrize("n_threads", [1, 2])
def test_the_same_for_any_number_of_threads(n_threads):
    same([fnn.lr_find(new_model(), X, Y, n_threads=n_threads).losses], [fnn.lr_find(new_model(), X, Y).losses])


def test_suggestions():
    rates = np.geomspace(1e-6, 1, 100)
    rising = LRCurve(rates, np.linspace(1, 2, 100))
    assert rising.valley is None and rising.steepest is None and rising.suggestion is None
    assert "none" in repr(rising)
    falling = LRCurve(rates, np.where(np.arange(100) < 40, 2.0, np.maximum(0.1, 2.0 - 0.06 * (np.arange(100) - 40))))
    assert rates[40] < falling.valley < rates[94]
    assert rates[40] <= falling.steepest <= rates[94]
    assert LRCurve(rates[:0], rates[:0]).suggestion is None and "no steps" in repr(LRCurve(rates[:0], rates[:0]))
    assert LRCurve(rates[:1], rates[:1]).steepest is None


@pytest.mark.parametrize(("arguments", "error", "text"), [
    ({"start": 0}, ValueError, r"start must be in \(0, inf\)"),
    ({"end": 1e-9}, ValueError, "end must be in"),
    ({"end": math.nan}, ValueError, "end must be in"),
    ({"steps": 1}, ValueError, "steps must be in"),
    ({"steps": 2.5}, TypeError, "steps must be an integer"),
    ({"batch_size": 0}, ValueError, "batch_size"),
    ({"sample_weight": -np.ones(200)}, ValueError, "negative weight"),
])
def test_bad_arguments_are_refused(arguments, error, text):
    model = new_model()
    with pytest.raises(error, match=text):
        fnn.lr_find(model, X, Y, **arguments)


def test_a_model_that_is_not_compiled_is_refused():
    with pytest.raises(ValueError, match="not compiled"):
        fnn.lr_find(fnn.Sequential([fnn.layers.Dense(1)]), X, Y)


def test_models_that_it_cannot_try_are_refused():
    with pytest.raises(TypeError, match=r"model must be a fastnn.Sequential; received None"):
        fnn.lr_find(None, X, Y)
    with pytest.raises(ValueError, match="lr_find looks for a learning rate, which LBFGS has not"):
        fnn.lr_find(new_model("lbfgs"), X, Y)
    model = new_model()
    model.build((6,))
    model.layers[0].kernel[0, 0] = np.nan
    with pytest.raises(ValueError, match=rf"{model.layers[0].name}\.kernel contains NaN or infinity"):
        fnn.lr_find(model, X, Y)


def test_plot_without_matplotlib(monkeypatch):
    found = builtins.__import__

    def without(name, *arguments, **keywords):
        if name.split(".")[0] == "matplotlib":
            raise ImportError(name)
        return found(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r'pip install "fastnn\[viz\]"'):
        fnn.lr_find(new_model(), X, Y, steps=10).plot()


@pytest.mark.filterwarnings("default")
def test_plot(monkeypatch):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    curve = fnn.lr_find(new_model(), X, Y)
    ax = curve.plot()
    assert ax.get_xscale() == "log" and ax.get_xlabel() == "learning rate"
    assert f"{curve.valley:.1e}" in ax.get_legend().get_texts()[2].get_text()
    _, given = pyplot.subplots()
    assert curve.plot(given) is given
    LRCurve(curve.rates, np.linspace(1, 2, len(curve.rates))).plot(given)
    pyplot.close("all")
