"""Data larger than the memory that a process may have: 6 GB on disk, 1 GB of its own."""

import os
import subprocess
import sys

import pytest

ROWS, COLS = 196_608, 8192      # of float32: 6 GiB

SCRIPT = """
import resource, sys
import numpy as np
import fastnn as fnn

x = np.memmap(sys.argv[1], np.float32, "r", shape=({rows}, {cols}))
y = np.arange({rows}) % 3
resource.setrlimit(resource.RLIMIT_DATA, (2**30, 2**30))
try:
    np.ones((2**27 + 2**26, 1))
except MemoryError:
    pass
else:
    sys.exit("the limit does not hold")

def chunks():
    for start in range(0, {rows}, 5000):
        yield x[start:start + 5000], y[start:start + 5000]

model = fnn.Sequential([fnn.layers.Dense(8, "relu"), fnn.layers.Dense(3, "softmax")], seed=0)
model.compile("sgd", "sparse_categorical_crossentropy")
{call}
anonymous = int(open("/proc/self/status").read().split("RssAnon:")[1].split()[0])
print(anonymous)
"""

CALLS = {
    "array": "model.fit(x, y, batch_size=256, verbose=0, validation_split=0.1)",
    "stream": "model.fit(chunks, batch_size=256, verbose=0)",
}


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="needs Linux' limits")
@pytest.mark.parametrize("kind", CALLS)
def test_data_larger_than_memory(kind, tmp_path):
    path = tmp_path / "x.bin"
    with open(path, "wb") as file:
        file.truncate(ROWS * COLS * 4)      # sparse: it takes no space
    script = SCRIPT.format(rows=ROWS, cols=COLS, call=CALLS[kind])
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 300_000, "kB of its own"
