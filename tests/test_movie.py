"""WeightMovie: frames in bounded memory, and the file that is made of them."""

import os
import shutil
import signal

import numpy as np
import pytest

import fastnn as fnn
from fastnn import callbacks, layers

image = pytest.importorskip("PIL.Image")


def data(n=80, shape=(6, 6), seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, *shape)).astype(np.float32), rng.integers(0, 3, n)


def network(first=None, optimizer="adam"):
    model = fnn.Sequential([layers.Flatten(), first or layers.Dense(8, "relu"), layers.Dense(5, "relu"),
                            layers.Dense(3, "softmax")], seed=1)
    model.compile(optimizer, "sparse_categorical_crossentropy")
    return model


def fit(movie, model=None, epochs=3, n=80, **options):
    model = model or network()
    shape = model.input_shape or (6, 6)
    model.fit(*data(n, shape), batch_size=16, epochs=epochs, verbose=0, **{"callbacks": [movie]} | options)
    return model


class Kernels(callbacks.Callback):
    """The first kernel after every batch."""

    def on_train_begin(self, logs=None):
        self.seen = [self.model.layers[1].kernel.copy()]

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append(self.model.layers[1].kernel.copy())


@pytest.mark.parametrize("every", [1, 4])
def test_frames_are_the_kernels_at_their_steps(every):
    movie, kernels = callbacks.WeightMovie("dense", every), Kernels()
    fit(movie, callbacks=[movie, kernels])
    assert movie.steps == sorted({*range(0, 16, every), 15})
    for step, frame in zip(movie.steps, movie.frames, strict=True):
        assert frame.dtype == np.float32 and frame.shape == (8, 6, 6)
        assert np.array_equal(frame, kernels.seen[step].T.reshape(8, 6, 6))


@pytest.mark.parametrize("max_frames", [2, 3, 7, 8])
def test_full_frames_are_thinned_out(max_frames):
    movie = callbacks.WeightMovie(1, max_frames=max_frames)
    fit(movie, epochs=40, n=64)  # 160 batches
    assert movie.steps[0] == 0 and movie.steps[-1] == 160
    assert max_frames / 2 <= len(movie.frames) == len(movie.steps) <= max_frames
    assert movie.interval & (movie.interval - 1) == 0
    assert all(step % movie.interval == 0 for step in movie.steps[:-1])
    assert np.all(np.diff(movie.steps[:-1]) == movie.interval)


@pytest.mark.parametrize("layer", [layers.Dense(1000), layers.SparseDense(1000, density=0.1), layers.Conv1D(300, 30)])
def test_memory_is_bounded(layer):
    shape = (30, 30) if isinstance(layer, layers.Conv1D) else (900,)
    rest = [layers.Flatten()] if len(shape) > 1 else []
    model = fnn.Sequential([fnn.Input(shape), layer, *rest, layers.Dense(3, "softmax")], seed=0)
    model.compile("sgd", "sparse_categorical_crossentropy")
    movie = callbacks.WeightMovie(layer, max_frames=6, size=64)
    fit(movie, model)
    assert len(movie.frames) <= 6
    assert sum(frame.nbytes for frame in movie.frames) <= 6 * 64 * 64 * 4
    if not rest:
        movie = callbacks.WeightMovie(layer, size=64, image_shape=(30, 30))
        fit(movie, model)
        assert movie.frames[0].shape == (4, 30, 30)


def opened(path):
    with image.open(path) as file:
        frames, durations = [], []
        for i in range(file.n_frames):
            file.seek(i)
            frames.append(np.asarray(file.convert("RGB")))
            durations.append(file.info["duration"])
        return np.array(frames), durations, file.info.get("loop")


def test_the_file(tmp_path):
    path = tmp_path / "a.gif"
    movie = callbacks.WeightMovie("dense_1", 3, path=path, fps=5, size=64)
    fit(movie)
    frames, durations, loop = opened(path)
    assert len(frames) == len(movie.steps) == 6 and loop == 0
    assert durations == [200] * 5 + [1000]
    assert frames.shape[1:] == (16 + 64, 60, 3)  # 8 by 5 blocks of 8 by 12 pixels
    sizes = np.sort(np.abs(np.stack(movie.frames).astype(float)).ravel())
    limit = sizes[int(0.995 * sizes.size)]
    expected = fnn.weights.images.diverging(movie.frames[-1].astype(float), limit)
    assert np.abs(frames[-1, 20::8, 6::12].astype(int) - expected).max() <= 8  # 255 colours of 257
    assert not np.array_equal(frames[0], frames[-1])
    assert len({frame[:16].tobytes() for frame in frames}) == 6, "each says its step"
    movie.save(tmp_path / "b.gif", fps=50)
    assert opened(tmp_path / "b.gif")[1] == [20] * 5 + [1000]
    movie.frames = [np.full_like(frame, np.nan) for frame in movie.frames]
    movie.save(path)
    assert np.all(opened(path)[0][:, 16:] == 128)
    assert sorted(os.listdir(tmp_path)) == ["a.gif", "b.gif"]


def test_images_in_colours(tmp_path):
    model = fnn.Sequential([fnn.Input((8, 8, 3)), layers.Conv2D(4, 3), layers.Flatten(), layers.Dense(3, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    movie = callbacks.WeightMovie("conv2d", 5, path=tmp_path / "a.gif", size=64)
    fit(movie, model)
    assert movie.frames[0].shape == (4, 3, 3, 3)
    frames, _, _ = opened(tmp_path / "a.gif")
    assert len(frames) == len(movie.steps) and len(np.unique(frames[-1][16:].reshape(-1, 3), axis=0)) > 20
    from fastnn.callbacks.movie import _limit

    seen = {}
    for frame, values in zip(frames, movie.frames, strict=True):
        painted = movie._view.picture(values.astype(float), _limit(movie.frames))[0]
        shown = frame[16:, :painted.shape[1]]
        assert np.abs(shown - painted.astype(int)).max() < 60
        for one, other in zip(painted.reshape(-1, 3).tolist(), shown.reshape(-1, 3).tolist(), strict=True):
            assert seen.setdefault(tuple(one), other) == other, "a number has one colour in all frames"


@pytest.mark.parametrize("how", ["error", "Ctrl-C", "divergence"])
def test_a_training_that_breaks_off_has_its_file(tmp_path, how):
    class Break(callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 3 and how == "Ctrl-C":
                os.kill(os.getpid(), signal.SIGINT)
            if batch == 3 and how == "error":
                raise RuntimeError

    movie = callbacks.WeightMovie(1, path=tmp_path / "a.gif")
    model = network(optimizer=fnn.optimizers.SGD(1e30) if how == "divergence" else "adam")
    with pytest.raises((KeyboardInterrupt, RuntimeError, fnn.DivergenceError)):
        fit(movie, model, callbacks=[movie, Break()])
    assert len(opened(tmp_path / "a.gif")[0]) == len(movie.steps) >= 1


def test_a_failure_costs_no_training(tmp_path, monkeypatch):
    class Remove(callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            shutil.rmtree(tmp_path / "there", ignore_errors=True)

    (tmp_path / "there").mkdir()
    movie = callbacks.WeightMovie(1, path=tmp_path / "there" / "a.gif")
    with pytest.warns(UserWarning, match=r"WeightMovie ends here.*save\(path\)") as said:
        fit(movie, callbacks=[movie, Remove()])
    assert len(said) == 1 and len(movie.frames) == 16
    monkeypatch.setattr("fastnn.callbacks.pictures.View.of", lambda *_: 1 / 0)
    with pytest.warns(UserWarning, match="ZeroDivisionError") as said:
        fit(callbacks.WeightMovie(1))
    assert len(said) == 1


def test_a_second_fit_begins_anew():
    movie = callbacks.WeightMovie(1, max_frames=4)
    model = fit(movie)
    assert movie.interval > 1
    fit(movie, model, epochs=1, n=32)
    assert (movie.steps, movie.interval) == ([0, 1, 2], 1)


@pytest.mark.parametrize(("arguments", "error", "said"), [
    (("dens",), ValueError, "'dens'.* Did you mean 'dense'"), ((7,), ValueError, "received 7"),
    ((None,), TypeError, "a name, an index or a layer"),
    (("flatten",), ValueError, "has no kernel; layers with one: dense, dense_1, dense_2"),
    (("dense", 1, 100, "missing/a.gif"), OSError, "no such folder"),
    (("dense", 1, 100, "folder.gif"), ValueError, "not a regular file; the movie"),
])
def test_what_stops_before_the_first_epoch(tmp_path, monkeypatch, arguments, error, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.gif").mkdir()
    model = network()
    with pytest.raises(error, match=said):
        fit(callbacks.WeightMovie(*arguments), model)
    assert model._state is None


@pytest.mark.parametrize(("options", "error"), [
    ({"every": 0}, ValueError), ({"every": 1.0}, TypeError), ({"max_frames": 1}, ValueError), ({"fps": 0}, ValueError),
    ({"fps": "a"}, TypeError), ({"size": 2}, ValueError), ({"path": 1}, TypeError),
    ({"fps": 0.009}, ValueError), ({"path": "a.mp4"}, ValueError),
])
def test_bad_arguments(options, error):
    with pytest.raises(error, match=next(iter(options))):
        callbacks.WeightMovie(0, **options)


def test_saving_nothing(tmp_path):
    with pytest.raises(ValueError, match="no frames"):
        callbacks.WeightMovie(0).save(tmp_path / "a.gif")
    with pytest.raises(ValueError, match=r"must end in \.gif"):
        callbacks.WeightMovie(0).save(tmp_path / "a.png")


@pytest.mark.parametrize("scale", [1e-20, 1e8])
def test_frames_of_any_scale(tmp_path, scale):
    model = network()
    model.build((6, 6))
    model.layers[1].kernel[...] *= scale
    movie = callbacks.WeightMovie(1, path=tmp_path / "a.GIF", fps=0.01)
    before = model.layers[1].kernel.copy()
    fit(movie, model, epochs=1)
    assert np.array_equal(movie.frames[0], before.T.reshape(8, 6, 6))
    assert opened(tmp_path / "a.GIF")[1] == [100_000] * len(movie.steps)


def test_an_embedding_of_images_is_a_matrix():
    model = fnn.Sequential([layers.Flatten(), layers.Embedding(17, 2), layers.Flatten(), layers.Dense(3, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    movie = callbacks.WeightMovie("embedding")
    x, y = data()
    model.fit(np.abs(x).astype(int), y, verbose=0, callbacks=[movie])
    assert movie.frames[0].shape == (17, 2)


def test_the_movie_goes_on_where_the_layer_becomes_sparse():
    model = network(layers.Dense(16, "relu"))
    movie = callbacks.WeightMovie(1)
    fit(movie, model, epochs=4, callbacks=[
        fnn.weights.PruningSchedule(0.9, end_step=8, frequency=2, sparse_from=0.5), movie])
    assert type(model.layers[1]) is layers.SparseDense and movie.steps == list(range(21))
    assert np.array_equal(movie.frames[-1], model.layers[1].kernel.toarray().T.reshape(16, 6, 6))
