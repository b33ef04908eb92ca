"""Corrupted sparse matrices, fed to fit and predict: each one is refused, or handled as what it says.

``python tests/fuzz_csr.py 1000000`` makes a million of them (a quarter of an hour); the suite makes some
thousands. A matrix that passes is compared with a dense one that is made from its arrays here, entry by entry.
"""

import argparse
import contextlib
import sys
import time
import warnings

import numpy as np
from scipy import sparse

import fastnn as fnn

COLS, UNITS = 9, 3
WORST = (-(2**63), -(2**31), -9, -1, 0, 1, COLS - 1, COLS, 12, 2**31 - 1, 2**31, 2**32, 2**40, 2**63 - 1)
REFUSALS = TypeError, ValueError, MemoryError   # the last one for 2**40 rows
DTYPES = ("f2", "f4", "f8", "i1", "u1", "i8", "?", ">f4", ">i4", "u8", "c8", "O", "S3", "g")


def matrix(rng):
    n = int(rng.integers(1, 7))
    dense = rng.normal(size=(n, COLS)) * (rng.random((n, COLS)) < 0.4)
    kind = getattr(sparse, rng.choice(["csr_array", "csr_matrix", "csr_array", "csc_array", "coo_array"]))
    x = kind(dense.astype(rng.choice(["f4", "f8"])))
    if rng.random() < 0.3 and x.format != "coo":
        x.indptr, x.indices = x.indptr.astype(np.int64), x.indices.astype(np.int64)
    return x


def arrays_of(x):
    return ("row", "col", "data") if x.format == "coo" else ("indptr", "indices", "data")


def get(x, name):
    return x.coords[name == "col"] if name in ("row", "col") else getattr(x, name)


def put(x, name, array):
    if name in ("row", "col"):
        coords = list(x.coords)
        coords[name == "col"] = array
        x.coords = tuple(coords)
    else:
        setattr(x, name, array)


def mutate(x, rng):
    """One change to the arrays or the shape, in place."""
    name = str(rng.choice(arrays_of(x)))
    array = get(x, name)
    what = int(rng.integers(0, 11))
    if what <= 4 and isinstance(array, np.ndarray) and array.size and array.flags.writeable:
        at = int(rng.integers(0, array.size))
        with np.errstate(all="ignore"):
            if array.dtype.kind in "iu":
                value = int(rng.choice(WORST)) if what else int(array.flat[at]) + int(rng.integers(-2, 3))
                array.flat[at] = np.array(value % 2**64, np.uint64).astype(array.dtype)
            elif array.dtype.kind == "f":
                array.flat[at] = rng.choice([np.nan, np.inf, -np.inf, 1e300, 1e-320, 0.0, -0.0, 3.0])
    elif what == 5:
        put(x, name, array[: int(rng.integers(0, len(array) + 1))] if array.ndim else array)
    elif what == 6:
        put(x, name, np.concatenate([array.ravel(), array.ravel()[: int(rng.integers(0, 4))]]))
    elif what == 7:
        rows, cols = x.shape
        x._shape = [(rows + 1, cols), (rows - 1, cols), (rows, cols + 1), (rows, cols - 1), (0, cols), (rows, 0),
                    (cols, rows), (rows,), (rows, cols, 1), (-1, cols), (rows, 2**40)][int(rng.integers(0, 11))]
    elif what == 8:
        put(x, name, array.astype(str(rng.choice(DTYPES))))
    elif what == 9:
        put(x, name, [array[::-1], array[::2], array[:, None], np.ma.masked_array(array), list(array), None,
                      array.astype(np.int64) if name != "data" else array][int(rng.integers(0, 7))])
    else:
        array = np.array(array)
        rng.shuffle(array)
        put(x, name, array)


def meant(x):
    """The dense matrix that the arrays describe, duplicates summed up; an error if they describe none."""
    n, cols = x.shape
    out = np.zeros((n, cols))
    data = np.asarray(x.data, dtype=np.float64)
    if x.format == "coo":
        entries = zip(get(x, "row").tolist(), get(x, "col").tolist(), data.tolist(), strict=True)
    else:
        indptr, indices = np.asarray(x.indptr).tolist(), np.asarray(x.indices).tolist()
        outer = cols if x.format == "csc" else n
        if len(indptr) != outer + 1 or indptr[0] or indptr[-1] > min(len(indices), len(data)):
            raise ValueError
        entries = []
        for i in range(outer):
            if indptr[i + 1] < indptr[i]:
                raise ValueError
            for e in range(indptr[i], indptr[i + 1]):
                entries.append((indices[e], i, data[e]) if x.format == "csc" else (i, indices[e], data[e]))
    for i, j, value in entries:
        if not (0 <= i < n and 0 <= j < cols):
            raise IndexError
        out[i, j] += np.float32(value)
    return out


def fuzz(count, seed=0, progress=None):
    """How many of `count` matrices were refused and how many were handled; AssertionError for anything else."""
    rng = np.random.default_rng(seed)
    model = fnn.Sequential([fnn.Input((COLS,)), fnn.layers.Dense(UNITS)], seed=0)
    model.compile(fnn.optimizers.LazyAdam(1e-3), "mse")
    refused = handled = 0
    for number in range(count):
        if number % 1000 == 0:
            model.set_weights([rng.normal(size=(COLS, UNITS)), np.zeros(UNITS)])
            if progress is not None:
                progress(number)
        x = matrix(rng)
        for _ in range(int(rng.integers(1, 4))):
            with contextlib.suppress(Exception), warnings.catch_warnings():
                warnings.simplefilter("ignore")     # what scipy or numpy does not let happen, or says about it
                mutate(x, rng)
        kernel = model.layers[0].kernel.astype(np.float64)
        try:
            out = model.predict(x)
        except REFUSALS:
            out = None
        if out is None:
            refused += 1
            try:
                model.fit(x, np.zeros((max(1, min(9, x.shape[0])), UNITS)), verbose=0)
            except REFUSALS:
                continue
            raise AssertionError(f"matrix {number} of seed {seed}: predict refused it, training did not")
        expected = meant(x) @ kernel + model.layers[0].bias
        scale = 1e-4 * (1 + np.abs(meant(x)).sum(axis=1, keepdims=True) * np.abs(kernel).max())
        assert (np.abs(out - expected) <= scale).all(), f"matrix {number} of seed {seed}: another result"
        if np.abs(expected).max() < 1e6:
            loss = model.fit(x, np.zeros((x.shape[0], UNITS)), verbose=0).history["loss"][0]
            assert np.isfinite(loss), f"matrix {number} of seed {seed}: a loss of {loss}"
        handled += 1
    return refused, handled


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("count", type=int)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    begin = time.monotonic()
    refused, handled = fuzz(arguments.count, arguments.seed, lambda number: print(
        f"\r{number} in {time.monotonic() - begin:.0f} s", end="", flush=True) if number % 10000 == 0 else None)
    print(f"\r{arguments.count} corrupted matrices: {refused} refused, {handled} handled, in "
          f"{time.monotonic() - begin:.0f} s")


if __name__ == "__main__":
    sys.exit(main())
