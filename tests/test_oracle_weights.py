"""Models of PyTorch and Keras, saved by them and loaded here, predict the same numbers."""

import os
import warnings

import numpy as np
import pytest

import fastnn as fnn
from fastnn.weights import load_keras, load_pytorch

pytestmark = pytest.mark.filterwarnings("default")  # Keras' and torch's warnings are not ours


def samples(*shape):
    return np.random.default_rng(0).normal(size=(20, *shape))


# ---- PyTorch -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


def torch_mlp(torch):
    nn = torch.nn
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 8), nn.ReLU(), nn.Dropout(0.5),
                         nn.Linear(8, 3, bias=False)).double().eval()


def mlp():
    return fnn.Sequential([fnn.Input((6,)), fnn.layers.Dense(8, activation="tanh"),
                           fnn.layers.Dense(8, activation="relu"), fnn.layers.Dropout(0.5),
                           fnn.layers.Dense(3, use_bias=False)], dtype="float64")


def torch_outputs(torch, module, x):
    with torch.no_grad():
        return module(torch.from_numpy(x)).numpy()


def test_pytorch_dense(torch, tmp_path):
    from safetensors.torch import save_file

    theirs, x = torch_mlp(torch), samples(6)
    save_file(theirs.state_dict(), tmp_path / "state.safetensors")
    for source in (theirs.state_dict(), tmp_path / "state.safetensors"):
        ours = mlp()
        report = load_pytorch(ours, source)
        assert len(report.carried) == 5 and not report.left_out
        np.testing.assert_allclose(ours.predict(x), torch_outputs(torch, theirs, x), rtol=1e-12, atol=1e-14)


def test_pytorch_module_with_names(torch, tmp_path):
    from safetensors.torch import save_file

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.hidden = torch.nn.Linear(6, 8)
            self.again = torch.nn.Linear(8, 8)
            self.out = torch.nn.Linear(8, 3, bias=False)

        def forward(self, x):
            return self.out(torch.relu(self.again(torch.tanh(self.hidden(x)))))

    torch.manual_seed(0)
    theirs, ours, x = Net().double(), mlp(), samples(6)
    save_file(theirs.state_dict(), tmp_path / "state.safetensors")
    load_pytorch(ours, tmp_path / "state.safetensors")  # shapes say which is which
    np.testing.assert_allclose(ours.predict(x), torch_outputs(torch, theirs, x), rtol=1e-12, atol=1e-14)


def test_pytorch_normalizations(torch, tmp_path):
    """With running statistics of some steps; epsilon is no weight, so both are given one."""
    from safetensors.torch import save_file

    nn = torch.nn
    torch.manual_seed(0)
    theirs = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 7), nn.LayerNorm(7, eps=1e-3),
                           nn.PReLU(7), nn.Linear(7, 3)).double()
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        for step in range(5):
            theirs(torch.from_numpy(samples(6) + step))
    theirs.eval()
    ours = fnn.Sequential([fnn.Input((6,)), fnn.layers.Dense(8), fnn.layers.BatchNormalization(epsilon=1e-5),
                           fnn.layers.Activation("relu"), fnn.layers.Dense(7), fnn.layers.LayerNormalization(),
                           fnn.layers.PReLU(), fnn.layers.Dense(3)], dtype="float64")
    save_file(theirs.state_dict(), tmp_path / "state.safetensors")
    for source in (theirs.state_dict(), tmp_path / "state.safetensors"):
        assert not load_pytorch(ours, source).left_out
        x = samples(6)
        np.testing.assert_allclose(ours.predict(x), torch_outputs(torch, theirs, x), rtol=1e-11, atol=1e-13)


def test_pytorch_embedding(torch):
    nn = torch.nn
    torch.manual_seed(0)
    theirs = nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.Linear(12, 2)).double()
    ours = fnn.Sequential([fnn.Input((3,)), fnn.layers.Embedding(9, 4), fnn.layers.Flatten(), fnn.layers.Dense(2)],
                          dtype="float64")
    load_pytorch(ours, theirs.state_dict())
    x = np.random.default_rng(0).integers(0, 9, (20, 3))
    np.testing.assert_allclose(ours.predict(x), torch_outputs(torch, theirs, x), rtol=1e-12, atol=1e-14)


def test_pytorch_convolutions(torch, tmp_path):
    """Channels come first there: filters, and what belongs to the pixels behind Flatten, are reordered."""
    from safetensors.torch import save_file

    nn = torch.nn
    torch.manual_seed(0)
    theirs = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 5, 2), nn.BatchNorm2d(5),
                           nn.Flatten(), nn.BatchNorm1d(20), nn.Linear(20, 6), nn.ReLU(), nn.Linear(6, 2)).double()
    x = samples(8, 8, 3)
    first = torch.from_numpy(x).permute(0, 3, 1, 2)
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        theirs(first)
    theirs.eval()
    layers = fnn.layers
    ours = fnn.Sequential([fnn.Input((8, 8, 3)), layers.Conv2D(4, 3, activation="relu"), layers.MaxPooling2D(),
                           layers.Conv2D(5, 2), layers.BatchNormalization(epsilon=1e-5), layers.Flatten(),
                           layers.BatchNormalization(epsilon=1e-5), layers.Dense(6, activation="relu"),
                           layers.Dense(2)], dtype="float64")
    save_file({name: tensor.contiguous() for name, tensor in theirs.state_dict().items()},
              tmp_path / "state.safetensors")
    for source in (theirs.state_dict(), tmp_path / "state.safetensors"):
        assert not load_pytorch(ours, source).left_out
        with torch.no_grad():
            expected = theirs(first).numpy()
        np.testing.assert_allclose(ours.predict(x), expected, rtol=1e-11, atol=1e-13)


def test_pytorch_convolutions_in_one_dimension(torch):
    nn = torch.nn
    torch.manual_seed(0)
    theirs = nn.Sequential(nn.Conv1d(3, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(24, 2)).double()
    ours = fnn.Sequential([fnn.Input((8, 3)), fnn.layers.Conv1D(4, 3, activation="tanh"), fnn.layers.Flatten(),
                           fnn.layers.Dense(2)], dtype="float64")
    load_pytorch(ours, theirs.state_dict())
    x = samples(8, 3)
    with torch.no_grad():
        expected = theirs(torch.from_numpy(x).permute(0, 2, 1)).numpy()
    np.testing.assert_allclose(ours.predict(x), expected, rtol=1e-12, atol=1e-14)


# ---- Keras -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def keras():
    os.environ.setdefault("KERAS_BACKEND", "torch")
    pytest.importorskip("h5py")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("torch")
        module = pytest.importorskip("keras")
    floatx = module.config.floatx()
    module.config.set_floatx("float64")
    module.config.set_dtype_policy("float64")  # which models before may have fixed
    yield module
    module.config.set_floatx(floatx)
    module.config.set_dtype_policy(floatx)


def keras_mlp(keras):
    return keras.Sequential([keras.Input((6,)), keras.layers.Dense(8, activation="tanh", name="first"),
                             keras.layers.Dense(8, activation="relu"), keras.layers.Dropout(0.5),
                             keras.layers.Dense(3, use_bias=False)])


def near(ours, theirs):
    """To float32: Keras on torch multiplies matrices in it, whatever floatx says."""
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_keras_dense(keras, tmp_path):
    theirs, ours, x = keras_mlp(keras), mlp(), samples(6)
    theirs.compile("adam", "mse")  # whose variables are in the file too
    theirs.fit(x, x[:, :3], verbose=0)
    theirs.save_weights(tmp_path / "k.weights.h5")
    report = load_keras(ours, tmp_path / "k.weights.h5")
    assert not report.left_out
    assert all(np.array_equal(a, b) for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True))
    near(ours.predict(x), theirs.predict(x, verbose=0))


def test_keras_functional(keras, tmp_path):
    given = keras.Input((6,))
    out = given
    for units, activation in ((8, "tanh"), (8, "relu")):
        out = keras.layers.Dense(units, activation=activation)(out)
    theirs, ours = keras.Model(given, keras.layers.Dense(3, use_bias=False)(out)), mlp()
    theirs.save_weights(tmp_path / "k.weights.h5")
    load_keras(ours, tmp_path / "k.weights.h5")
    near(ours.predict(samples(6)), theirs.predict(samples(6), verbose=0))


def test_keras_names(keras, tmp_path):
    theirs, ours = keras_mlp(keras), mlp()
    theirs.save_weights(tmp_path / "k.weights.h5")
    report = load_keras(ours, tmp_path / "k.weights.h5", {"first": "dense_1"}, strict=False)
    assert [entry.target for entry in report.carried] == ["dense_1.bias"]  # 6 x 8 is not 8 x 8
    assert np.array_equal(ours.layers[1].bias, theirs.get_weights()[1])


def test_keras_more_than_ten_layers(keras, tmp_path):
    theirs = keras.Sequential([keras.Input((4,)), *(keras.layers.Dense(4) for _ in range(12))])
    ours = fnn.Sequential([fnn.Input((4,)), *(fnn.layers.Dense(4) for _ in range(12))], dtype="float64")
    theirs.save_weights(tmp_path / "k.weights.h5")
    load_keras(ours, tmp_path / "k.weights.h5")
    assert all(np.array_equal(a, b) for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True))


def test_keras_normalizations(keras, tmp_path):
    def network(library, **options):
        layers = library.layers
        return library.Sequential([library.Input((6,)), layers.Dense(8), layers.BatchNormalization(name="norm"),
                                   layers.Activation("relu"), layers.Dense(7), layers.BatchNormalization(scale=False),
                                   layers.PReLU(), layers.LayerNormalization(), layers.Dense(3),
                                   layers.RMSNormalization()], **options)

    theirs, ours, x = network(keras), network(fnn, dtype="float64"), samples(6)
    rng = np.random.default_rng(1)
    theirs.set_weights([rng.uniform(0.5, 1.5, w.shape) for w in theirs.get_weights()])
    theirs.save_weights(tmp_path / "k.weights.h5")
    assert not load_keras(ours, tmp_path / "k.weights.h5").left_out
    assert all(np.array_equal(a, b) for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True))
    near(ours.predict(x), theirs.predict(x, verbose=0))


def test_keras_embedding(keras, tmp_path):
    def network(library, **options):
        layers = library.layers
        return library.Sequential([library.Input((3,)), layers.Embedding(9, 4), layers.Flatten(), layers.Dense(2)],
                                  **options)

    theirs, ours = network(keras), network(fnn, dtype="float64")
    theirs.save_weights(tmp_path / "k.weights.h5")
    load_keras(ours, tmp_path / "k.weights.h5")
    assert all(np.array_equal(a, b) for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True))


def test_keras_convolutions(keras, tmp_path):
    def network(library, **options):
        layers = library.layers
        return library.Sequential([library.Input((8, 8, 3)), layers.Conv2D(4, 3, activation="relu"),
                                   layers.AveragePooling2D(2), layers.Conv2D(5, 2), layers.Flatten(), layers.Dense(2)],
                                  **options)

    theirs, ours, x = network(keras), network(fnn, dtype="float64"), samples(8, 8, 3)
    theirs.save_weights(tmp_path / "k.weights.h5")
    assert not load_keras(ours, tmp_path / "k.weights.h5").left_out
    near(ours.predict(x), theirs.predict(x, verbose=0))
