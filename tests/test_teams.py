"""Which team of threads takes a step: the search by timing, and that no bit depends on what it finds."""

import numpy as np
import pytest

import fastnn as fnn
from fastnn._kernels.teams import Team, Tuner, shapes

GRIDS = [(1, 1), (2, 1), (1, 2), (3, 1), (1, 3), (4, 1), (2, 2), (1, 4), (2, 4), (1, 7), (9, 1), (1, 17)]


def grids(teams):
    return [(team.n_groups, team.n_lanes) for team in teams]


def run(tuner, seconds, stretches=100, left=10**6):
    """The teams of `stretches` that end, with `seconds(team)` a step."""
    taken = []
    for _ in range(stretches):
        team = tuner.choose(left)
        assert 1 <= tuner.steps <= left
        tuner.note(team, tuner.steps, tuner.steps * seconds(team))
        taken.append(team)
    return taken


def test_shapes_fill_their_groups():
    assert grids(shapes(1, 32, False)) == [(1, 1)]
    assert grids(shapes(2, 32, False)) == [(2, 1), (1, 2)]
    assert grids(shapes(2, 32, True)) == [(1, 2), (2, 1)]
    assert grids(shapes(2, 8, False)) == [(1, 2)]
    assert grids(shapes(64, 128, False)) == [(16, 4), (4, 16), (1, 64)]
    assert grids(shapes(7, 1000, False)) == [(7, 1), (1, 7)]


@pytest.mark.parametrize("cost", [0.0, 1e-5, 1e-3])
@pytest.mark.parametrize("work", [1e3, 1e5, 1e6, 1e8])
@pytest.mark.parametrize("most", [1, 2, 3, 16])
def test_the_fastest_team_is_found(most, work, cost):
    """Where a step takes work / threads and something for every meeting, groups being the better half."""

    def seconds(team):
        return 1e-9 * work / team.n_threads + cost * (team.n_threads - 1) * (1 + 0.1 * team.n_lanes)

    tuner = Tuner(most, 1024, work, 1e4)
    run(tuner, seconds)
    if seconds(tuner.best) < 1e-3:
        assert seconds(tuner.best) == min(seconds(team) for level in tuner.levels for team in level)


def test_the_search_ends_and_the_best_team_keeps_the_steps():
    tuner = Tuner(4, 64, 1e6, 1e4)
    taken = run(tuner, lambda team: 1e-4 / team.n_threads, stretches=50, left=100)
    assert set(taken[20:]) == {tuner.best}
    assert tuner.best.n_threads == 4
    assert tuner.choose(5) is tuner.best
    assert tuner.steps == 5


def test_a_team_that_became_slow_is_looked_at_again():
    tuner = Tuner(2, 64, 1e6, 1e4)
    run(tuner, lambda team: 1e-4 / team.n_threads, stretches=30, left=100)
    assert tuner.best.n_threads == 2
    run(tuner, lambda team: 1e-4 * team.n_threads, stretches=30, left=1000)
    assert tuner.best.n_threads == 1


def test_stalls_that_trials_do_not_see_count():
    """Two threads beside a busy core: most steps are fast, one in fifty waits for a time slice."""
    tuner, taken = Tuner(2, 64, 1e6, 1e4), {1: 0, 2: 0}
    for i in range(30_000):
        team = tuner.choose(1)
        tuner.note(team, 1, 1e-4 / team.n_threads + (4e-3 if team.n_threads == 2 and i % 50 == 0 else 0))
        taken[team.n_threads] += 1
    assert taken[1] > 2 * taken[2]


def test_tiny_steps_stay_on_one_thread():
    tuner = Tuner(8, 4, 1e3, 100)
    assert grids(run(tuner, lambda team: 1e-6)) == [(1, 1)] * 100


def test_a_fixed_team_takes_all_steps():
    tuner = Tuner(2, 64, 1e6, 1e4)
    tuner.fixed = Team(1, 2)
    assert grids(run(tuner, lambda team: 1.0, stretches=5)) == [(1, 2)] * 5


@pytest.mark.parametrize("sizes", [(20, 64, 64, 3), (7, 130, 5), (40, 600, 3)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_no_bit_depends_on_the_team(sizes, dtype):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((210, sizes[0])), rng.integers(sizes[-1], size=210)
    results = []
    for grid in GRIDS:
        hidden = [fnn.layers.Dense(n, activation="tanh") for n in sizes[1:-1]]
        model = fnn.Sequential([*hidden, fnn.layers.Dropout(0.2), fnn.layers.Dense(sizes[-1])], seed=0, dtype=dtype)
        model.compile("adam", fnn.losses.SparseCategoricalCrossentropy(from_logits=True))
        model.build((sizes[0],))
        team = Team(*grid)
        model._workspace("train", 32).tuner(team.n_threads, 32).fixed = team
        history = model.fit(x, y, batch_size=32, epochs=3, verbose=0, n_threads=team.n_threads)
        results.append([np.array(history.history["loss"]), *model.get_weights()])
    for result in results[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(result, results[0], strict=True))


def test_the_search_changes_no_bit():
    """An epoch in one stretch of one thread, and one whose stretches go from team to team."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((3000, 30), dtype=np.float32), rng.integers(5, size=3000)
    weights = []
    for threads in (1, 4):
        model = fnn.Sequential([fnn.layers.Dense(64, activation="relu"), fnn.layers.Dense(5, activation="softmax")],
                               seed=0)
        model.compile("adam", "sparse_categorical_crossentropy")
        model.fit(x, y, batch_size=20, epochs=2, verbose=0, n_threads=threads)
        weights.append(model.get_weights())
    assert all(np.array_equal(a, b) for a, b in zip(*weights, strict=True))
