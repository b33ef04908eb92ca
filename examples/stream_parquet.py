"""Train from a Parquet file that need not fit into memory: its row groups are read while the model is trained.

    pip install pyarrow
    python examples/stream_parquet.py
"""

import tempfile
from pathlib import Path

import numpy as np

import fastnn as fnn

try:
    import pyarrow as pa
    import pyarrow.parquet as pq
except ImportError:
    pq = None

N_ROWS, N_COLUMNS = 40_000, 8
FEATURES = [f"feature_{i}" for i in range(N_COLUMNS)]


def write(path: Path) -> None:
    """A table of random numbers and a target that depends on them, in row groups of 5,000 rows."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(N_ROWS, N_COLUMNS)).astype(np.float32)
    columns = {name: x[:, i] for i, name in enumerate(FEATURES)}
    columns["target"] = np.sin(x[:, 0]) + x[:, 1] * x[:, 2]
    pq.write_table(pa.table(columns), path, row_group_size=5_000)


def chunks(path: Path, first: int, last: int):
    """(x, y) of 2,000 rows at a time, from row groups first .. last - 1; opened anew for each epoch."""
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(2_000, row_groups=range(first, last)):
            x = np.column_stack([batch.column(name).to_numpy() for name in FEATURES])
            yield x, batch.column("target").to_numpy()


def main() -> None:
    if pq is None:
        print("this example reads Parquet files with pyarrow, which is not installed: pip install pyarrow")
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.parquet"
        write(path)
        groups = pq.read_metadata(path).num_row_groups
        model = fnn.Sequential([fnn.layers.Dense(64, "relu"), fnn.layers.Dense(64, "relu"), fnn.layers.Dense(1)],
                               seed=0)
        model.compile(fnn.optimizers.Adam(0.003), "mse", metrics=["r2_score"])
        # Rows are shuffled within a buffer: as large a one as memory allows is best.
        model.fit(fnn.Stream(lambda: chunks(path, 0, groups - 1), buffer_rows=10_000), batch_size=64, epochs=5,
                  verbose=2, validation_data=lambda: chunks(path, groups - 1, groups))
        outputs = model.predict(lambda: (x for x, _ in chunks(path, groups - 1, groups)))
        print(f"{len(outputs):,} outputs, the first {outputs[0, 0]:.3f}")


if __name__ == "__main__":
    main()
