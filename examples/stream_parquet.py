"""
Train from a Parquet file
=========================

A table that need not fit into memory: its row groups are read, checked and copied by a thread while the model is
trained on those before. You see how chunks are made with pyarrow (``pip install pyarrow``), and where a
:class:`fastnn.Stream` stands in ``fit`` and ``predict``.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt  # pip install "fastnn[viz]"
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import fastnn as fnn

# %%
# The file
# --------
# Random numbers and a target that depends on them, in eight row groups.

N_ROWS, N_COLUMNS = 40_000, 8
FEATURES = [f"feature_{i}" for i in range(N_COLUMNS)]

rng = np.random.default_rng(0)
x = rng.normal(size=(N_ROWS, N_COLUMNS)).astype(np.float32)
columns = {name: x[:, i] for i, name in enumerate(FEATURES)}
columns["target"] = np.sin(x[:, 0]) + x[:, 1] * x[:, 2]
folder = tempfile.TemporaryDirectory()
path = Path(folder.name) / "table.parquet"
pq.write_table(pa.table(columns), path, row_group_size=5_000)

# %%
# The chunks
# ----------
# A generator of pairs (x, y). It is made anew for each epoch.


def chunks(first, last):
    """2,000 rows at a time from row groups first .. last - 1."""
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(2_000, row_groups=range(first, last)):
            x = np.column_stack([batch.column(name).to_numpy() for name in FEATURES])
            yield x, batch.column("target").to_numpy()


# %%
# Training
# --------
# Rows are shuffled within a buffer: as large a one as memory allows is best. The last group is for validation.

groups = pq.read_metadata(path).num_row_groups
model = fnn.Sequential([fnn.layers.Dense(64, "relu"), fnn.layers.Dense(64, "relu"), fnn.layers.Dense(1)], seed=0)
model.compile(fnn.optimizers.Adam(0.003), "mse", metrics=["r2_score"])
model.fit(fnn.Stream(lambda: chunks(0, groups - 1), buffer_rows=10_000), batch_size=64, epochs=5, verbose=2,
          validation_data=lambda: chunks(groups - 1, groups))

# %%

outputs = model.predict(lambda: (x for x, _ in chunks(groups - 1, groups)))[:, 0]
targets = np.concatenate([y for _, y in chunks(groups - 1, groups)])
print(f"{len(outputs):,} rows of the last group: RMSE {np.sqrt(np.mean((outputs - targets) ** 2)):.3f}")
fnn.weights.plot.residuals(targets, outputs)
plt.show()
folder.cleanup()
