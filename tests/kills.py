"""Kill a training again and again (SIGKILL) and compare what it comes to with one that was never killed.

``python tests/kills.py 200`` makes 200 kills and prints how many of the runs ended with the same bits. Every other kill
waits for a backup to be under way. Each run is a process of its own; with ``--fork`` a fork of this one, which starts
faster.
"""

import argparse
import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import fastnn as fnn
from fastnn import callbacks


def train(folder):
    """A fit with all that has a memory; at its end `result` tells weights, history and log apart by a checksum."""
    folder = Path(folder)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(400, 12)), rng.integers(0, 4, 400)
    model = fnn.Sequential([fnn.layers.GaussianNoise(0.1), fnn.layers.Dense(24, activation="tanh", name="first"),
                            fnn.layers.BatchNormalization(), fnn.layers.Dropout(0.2),
                            fnn.layers.Dense(4, activation="softmax")])
    goes_on = any((folder / "backup").glob("*.safetensors"))
    model.seed = random.randrange(2**32) if goes_on else 5  # a backup brings its own
    optimizer = fnn.optimizers.Nadam(0.01, use_ema=True, gradient_accumulation_steps=2, global_clipnorm=1.0)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy", "auc"])
    history = model.fit(x, y, batch_size=16, epochs=8, validation_split=0.2, verbose=0, n_threads=2, callbacks=[
        callbacks.CSVLogger(folder / "log.csv"),
        callbacks.ReduceLROnPlateau("loss", factor=0.5, patience=1, min_delta=0.02),
        callbacks.BackupAndRestore(folder / "backup", save_freq=3, double_checkpoint=True),
        callbacks.EarlyStopping("val_loss", patience=3, restore_best_weights=True),
        callbacks.Freezer("first", 2), callbacks.Unfreezer("first", 3), callbacks.SwapEMAWeights(swap_on_epoch=True),
        fnn.weights.PruningSchedule(0.5, begin_step=20, end_step=120, frequency=15),
        callbacks.ModelCheckpoint(folder / "best.safetensors", "val_accuracy", save_best_only=True),
        callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: time.sleep(0.001)),
    ])
    digest = hashlib.sha256(repr((history.history, history.epoch)).encode())
    for weight in [*model.get_weights(), *fnn.load_model(folder / "best.safetensors").get_weights()]:
        digest.update(weight.tobytes())
    digest.update((folder / "log.csv").read_bytes())
    (folder / "result.part").write_text(digest.hexdigest())
    os.replace(folder / "result.part", folder / "result")


def start(folder, fork):
    """A process that trains, and a function that says whether it still runs."""
    if not fork:
        process = subprocess.Popen([sys.executable, __file__, "--train", str(folder)])
        return process.pid, process.poll
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            train(folder)
            code = 0
        finally:
            os._exit(code)
    ended = []

    def poll():
        if not ended and (found := os.waitpid(pid, os.WNOHANG)) != (0, 0):
            ended.append(os.waitstatus_to_exitcode(found[1]))
        return ended[0] if ended else None

    return pid, poll


def unfinished(folder):
    """Whether a backup is being written, or was when its writer died."""
    try:
        return any(name.endswith("fastnn-tmp") for name in os.listdir(folder / "backup"))
    except FileNotFoundError:  # not made yet, or removed at the end
        return False


def kill_after(folder, delay, in_backup, fork):
    """Train until `delay` seconds have passed, and then a backup has begun if `in_backup`. Whether it was killed."""
    pid, poll = start(folder, fork)
    deadline = time.perf_counter() + delay
    while poll() is None:
        if time.perf_counter() > deadline and (not in_backup or unfinished(folder)):
            os.kill(pid, signal.SIGKILL)
            while poll() is None:
                time.sleep(0.001)
            return not (folder / "result").exists()
        if not in_backup or time.perf_counter() < deadline - 0.002:
            time.sleep(0.0005)
    if poll():
        raise RuntimeError(f"a run failed with exit code {poll()}")
    return False


def compare(kills, seed=0, fork=False):
    """Kills made, kills while a backup was written, runs completed, and those of them that ended as expected."""
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        began = time.perf_counter()
        kill_after(folder, 1e9, False, fork)
        seconds, expected = time.perf_counter() - began, (folder / "result").read_text()
    made = torn = runs = same = 0
    while made < kills:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            while not (folder / "result").exists():
                limit = chance.uniform(0, seconds) if made < kills else 1e9
                if kill_after(folder, limit, chance.random() < 0.5, fork):
                    made += 1
                    torn += unfinished(folder)
            runs += 1
            same += (folder / "result").read_text() == expected
    return made, torn, runs, same


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kills", type=int, nargs="?", default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fork", action="store_true")
    parser.add_argument("--train", metavar="FOLDER", help="what each run does")
    given = parser.parse_args()
    if given.train:
        train(given.train)
    else:
        made, torn, runs, same = compare(given.kills, given.seed, given.fork)
        print(f"{made} kills, {torn} of them inside the write of a backup; {runs} runs, {same} bitwise as expected")
        sys.exit(made < given.kills or same != runs)
