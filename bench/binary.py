"""Prediction of one layer of packed weights of one bit beside the same layer of float32 numbers, in turns.

    python bench/binary.py --threads 1 2

Inputs are float32 in both cases; the packed layer takes their signs. "model" is `predict`, with its checks and copies;
"kernel" is the layer alone: signs packed, words multiplied, outputs written. Predictions are held to the bit against
those of the layer that was packed.
"""

from __future__ import annotations

import argparse

import numpy as np
from common import fastest

import fastnn as fnn
from fastnn import kernels
from fastnn._kernels import calls
from fastnn._kernels.dispatch import ACTIVATIONS
from fastnn.kernels.packed import arranged_words
from fastnn.layers import Activation, BinaryDense, Dense, TernaryDense

LAYERS = {"binary -1, 1": lambda n: BinaryDense(n), "binary 0, 1": lambda n: BinaryDense(n, mode="01"),
          "ternary": lambda n: TernaryDense(n, threshold=0.01)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--size", type=int, default=4096, help="inputs and outputs")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--seconds", type=float, default=3, help="for each line")
    arguments = parser.parse_args()
    n, batch = arguments.size, arguments.batch
    x = np.random.default_rng(0).standard_normal((batch, n), dtype=np.float32)
    dense = fnn.Sequential([fnn.Input((n,)), Dense(n)], seed=0)
    print(f"{batch} x {n} x {n}".ljust(28) + "float32".rjust(14) + "packed".rjust(14))
    for threads in arguments.threads:
        for name, make in LAYERS.items():
            model = fnn.Sequential([fnn.Input((n,)), Activation("sign"), make(n)], seed=0)
            packed = model.pack()
            assert np.array_equal(packed.predict(x), model.predict(x))
            layer = packed.layers[0]
            words, constant = arranged_words(layer.words, n, layer.values, "sign")
            kernel, bias, y = dense.layers[0].kernel, layer.bias, np.empty((batch, n), np.float32)
            bits = np.empty((batch, -(-n // 64) + 1), np.uint64)

            def multiply(kernel=kernel, bias=bias, y=y, threads=threads) -> None:
                kernels.dense_forward(x, kernel, bias, out=y, n_threads=threads)

            def count(layer=layer, words=words, constant=constant, bias=bias, bits=bits, y=y, threads=threads) -> None:
                calls.pack_bits(x, True, bits, threads)
                calls.packed_forward(n, ACTIVATIONS[layer.values], ACTIVATIONS["sign"], words, constant, bits, bias,
                                     ACTIVATIONS["linear"], 0.0, y, None, threads)

            for what, pair in (
                ("model", (lambda t=threads: dense.predict(x, n_threads=t),
                           lambda packed=packed, t=threads: packed.predict(x, n_threads=t))),
                ("kernel", (multiply, count)),
            ):
                best = fastest(dict(zip(("float32", "packed"), pair, strict=True)), arguments.seconds)
                whole, small = best["float32"], best["packed"]
                print(f"{name}, {what}, {threads} threads".ljust(28) + f"{whole * 1e3:11.2f} ms{small * 1e3:11.2f} ms"
                      f"{whole / small:8.1f}x", flush=True)


if __name__ == "__main__":
    main()
