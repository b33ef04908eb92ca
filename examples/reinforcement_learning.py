"""
Reinforcement learning: balance a pole
======================================

A pole stands on a cart, and fifty times a second the cart is pushed to the left or to the right. A network learns which
of the two is better from nothing but the poles that fell: deep Q-learning (Mnih et al., "Human-level control through
deep reinforcement learning", 2015), with two networks as van Hasselt et al. (2016) have it.

The loop is yours, in Python: ``predict_on_batch`` and ``train_on_batch`` cost some microseconds beyond their
arithmetic, so that thousands of steps take a second. You see where they stand in such a loop, how its targets are
made, and how one network takes over the weights of another.
"""

import time

import matplotlib.pyplot as plt  # pip install "fastnn[viz]"
import numpy as np

import fastnn as fnn

# %%
# The world
# ---------
# The equations of Barto, Sutton and Anderson (1983). A state is four numbers: place and speed of the cart, angle and
# angular speed of the pole. Sixteen carts, a row each, are pushed at once. A pole has fallen when it leans by more than
# 12 degrees or its cart is too far out; after 500 steps it has been balanced.

STEPS, CARTS = 500, 16
rng = np.random.default_rng(0)


def start(n):
    return rng.uniform(-0.05, 0.05, (n, 4))


def push(state, action):
    """The states 0.02 s later, and which of the poles have fallen."""
    _, speed, angle, turning = state.T
    sin, cos = np.sin(angle), np.cos(angle)
    common = (np.where(action == 1, 10.0, -10.0) + 0.05 * turning**2 * sin) / 1.1
    angular = (9.8 * sin - cos * common) / (0.5 * (4 / 3 - 0.1 * cos**2 / 1.1))
    acceleration = common - 0.05 * angular * cos / 1.1
    state = state + 0.02 * np.column_stack([speed, acceleration, turning, angular])
    return state, (abs(state[:, 0]) > 2.4) | (abs(state[:, 2]) > np.radians(12))


def seen(state):
    """What the network sees: numbers of about -1 to 1."""
    return state * [0.5, 0.5, 5.0, 0.5]


# %%
# The network
# -----------
# Four numbers in, two out: the values of a push to the left and of one to the right. A push after which the pole falls
# is worth -1, any other 0.98 times what the best push after it is worth. That comes from a second network, which takes
# over the weights of the first every 50 steps: a network that chases its own outputs does not settle.


def network():
    model = fnn.Sequential([fnn.Input((4,)), fnn.layers.Dense(64, activation="relu"),
                            fnn.layers.Dense(64, activation="relu"), fnn.layers.Dense(2)], seed=0)
    model.compile(fnn.optimizers.Adam(1e-3), "huber")
    return model


def trial(model, n):
    """For how many steps each of n poles stays up when the network does what it thinks best."""
    state, up, steps = start(n), np.ones(n, bool), np.zeros(n, int)
    for _ in range(STEPS):
        state, fell = push(state, model.predict_on_batch(seen(state)).argmax(axis=1))
        up &= ~fell
        steps += up
    return steps


# %%
# The loop
# --------
# Each step pushes all carts (some at random, or nothing new would be tried), remembers what happened, and trains on 128
# of the last 50,000 memories. Every 250 steps 20 new poles are balanced; three faultless trials in a row end the loop.

model, target = network(), network()
memory = np.empty((50_000, 10))  # four numbers seen, the push, four seen after it, whether the pole fell
state, age = start(CARTS), np.zeros(CARTS, int)
episodes, trials, begin = [], [], time.perf_counter()

for step in range(1, 20_001):
    best = model.predict_on_batch(seen(state)).argmax(axis=1)
    explore = rng.random(CARTS) < max(0.05, 1 - step / 2_000)
    action = np.where(explore, rng.integers(0, 2, CARTS), best)
    after, fell = push(state, action)
    rows = np.arange(CARTS * (step - 1), CARTS * step) % len(memory)
    memory[rows] = np.column_stack([seen(state), action, seen(after), fell])

    age += 1
    done = fell | (age == STEPS)
    episodes += [(step, length) for length in age[done]]
    state, age = np.where(done[:, None], start(CARTS), after), np.where(done, 0, age)

    drawn = memory[rng.integers(0, min(CARTS * step, len(memory)), 128)]
    before, action, after, fell = drawn[:, :4], drawn[:, 4].astype(int), drawn[:, 5:9], drawn[:, 9] == 1
    best = model.predict_on_batch(after).argmax(axis=1)  # chosen by one network, valued by the other
    rows = np.arange(128)
    wanted = model.predict_on_batch(before)  # no error but in the push that was made
    wanted[rows, action] = np.where(fell, -1, 0.98 * target.predict_on_batch(after)[rows, best])
    model.train_on_batch(before, wanted)

    if step % 50 == 0:
        target.set_weights(model.get_weights())
    if step % 250 == 0:
        trials.append((step, trial(model, 20).mean()))
        if [mean for _, mean in trials[-3:]] == [STEPS] * 3:
            break

print(f"{step:,} steps in {time.perf_counter() - begin:.1f} s")
print(f"of 200 new poles {np.mean(trial(model, 200) == STEPS):.0%} are balanced for {STEPS} steps")

# %%
# How it went
# -----------
# Random pushes keep a pole up for some twenty steps. While it learns, a twentieth of the pushes stays random.

fig, ax = plt.subplots()
ax.plot(*zip(*episodes, strict=True), ".", alpha=0.3, color="tab:gray", label="poles while training")
ax.plot(*zip(*trials, strict=True), "o-", label="mean of 20 poles without random pushes")
ax.set(xlabel="step of training", ylabel="steps until the pole falls", title="Learning to balance")
ax.legend(loc="lower right")
plt.show()

# %%
# What it learned
# ---------------
# The difference of the two values for a cart at rest in the middle: a pole that leans to the right and turns there
# needs a push to the right. In the white band between the two either push will do, the next one makes up for it; in the
# corners nothing helps any more.

angle, turning = np.meshgrid(np.linspace(-12, 12, 121), np.linspace(-2, 2, 101))
states = np.zeros((angle.size, 4))
states[:, 2], states[:, 3] = np.radians(angle).ravel(), turning.ravel()
left, right = model.predict(seen(states)).T
difference = (right - left).reshape(angle.shape)
limit = abs(difference).max()

fig, ax = plt.subplots()
mesh = ax.pcolormesh(angle, turning, difference, cmap="RdBu_r", vmin=-limit, vmax=limit)
ax.set(xlabel="angle of the pole (degrees)", ylabel="angular speed (radians/s)", title="Which push is worth more")
fig.colorbar(mesh, label="value of a push to the right less one to the left")
plt.show()
