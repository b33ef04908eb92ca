"""How a model's weights and layers are, in numbers, colours and words."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastnn.html import Html, table, tag
from fastnn.layers import Activation
from fastnn.model import Sequential
from fastnn.notebooks import shown_shape
from fastnn.reports.pictures import beside, drawn
from fastnn.sparse_inputs import Csr
from fastnn.weights.plot.select import leaves_with_kernels, some
from fastnn.weights.statistics import describe, layer_statistics
from fastnn.weights.transfer import named_weights

__all__ = ["health"]

ROWS = 1000                 # of samples that go through the layers
MOST_NUMBERS = 20_000_000   # of a sparse matrix' rows made dense
SPECTRAL = 4_000_000        # weights up to which a spectral norm is computed
MOST_PICTURES = 6
LARGE = 100.0               # of a spectral norm


def health(model: Sequential, x: Any, n_threads: int) -> list[Html]:
    rows, alarms = [], []
    for name, weight in named_weights(model, "model").items():
        found = describe(name, weight, spectral=weight.size <= SPECTRAL)
        bad, zeros = int(np.count_nonzero(~np.isfinite(weight))), 1 - np.count_nonzero(weight) / weight.size
        said, kind = _verdict(found, bad, zeros)
        if kind == "bad":
            alarms.append(f"{name}: {said}")
        rows.append((name, (said, kind), shown_shape(found.shape),
                     *(f"{value:.4g}" for value in (found.mean, found.std, found.min, found.max)),
                     f"{found.near_zero:.1%}", f"{zeros:.1%}",
                     "" if found.spectral_norm is None else f"{found.spectral_norm:.4g}"))
    summary = tag("p", "; ".join(alarms), class_="said bad") if alarms else \
        tag("p", "All weights are finite numbers, and no kernel is mostly dead.")
    header = ("Weight", "State", "Shape", "Mean", "Std", "Min", "Max", "Near 0", "Zero", "Spectral norm")
    return [summary, table(header, rows, 3, label="Weights"),
            tag("p", "Near 0: below a hundredth of the root mean square.", class_="soft"), *_pictures(model),
            *_layers(model, x, n_threads)]


def _verdict(found: Any, bad: int, zeros: float) -> tuple[str, str]:
    units = found.shape[-1] if len(found.shape) > 1 else 0
    dead = found.dead_units or 0
    if bad:
        return f"{bad:,} NaN or infinite", "bad"
    if units and dead == units:
        return "all zero", "bad"
    if dead:
        return f"{dead:,} of {units:,} units dead", "bad" if dead > units / 2 else "warn"
    if found.spectral_norm is not None and found.spectral_norm > LARGE:
        return "large spectral norm", "warn"
    if units and zeros >= 0.2:
        return f"sparse, {zeros:.0%} zeros", ""
    if units and found.near_zero > 0.5:
        return "mostly near zero", "warn"
    return "fine", "good"


def _pictures(model: Sequential) -> list[Html]:
    from fastnn.weights.plot import histograms

    layers = [layer for layer in leaves_with_kernels(model)
              if all(np.isfinite(weight).all() for weight in layer.weights.values())]
    if not layers:
        return []
    first, n = [layer.path for layer in layers[:MOST_PICTURES]], len(layers)
    left_out = f"The first {MOST_PICTURES} of {n} layers." if n > MOST_PICTURES else ""
    return [tag("h3", "How they are distributed"),
            beside(*drawn(lambda *axes: histograms(model, first, ax=axes), (3.1, 2.5),
                          *(f"Histogram of the weights of {name}" for name in first))),
            *([tag("p", left_out, class_="soft")] if left_out else [])]


def _layers(model: Sequential, x: Any, n_threads: int) -> list[Html]:
    """What the layers make of samples."""
    if x is None or len(x) < 2:
        return []
    if isinstance(x, Csr):
        rows = x.dense(some(len(x), max(2, min(ROWS, MOST_NUMBERS // x.cols))))
    else:
        rows = x[some(len(x), ROWS)]
    cells = []
    for layer, found in zip(model.layers, layer_statistics(model, rows, n_threads), strict=True):
        units = found.shape[-1]
        learns = bool(layer.weights or layer.sublayers or isinstance(layer, Activation))
        if not all(map(math.isfinite, (found.mean, found.std, found.min, found.max))):
            state = "NaN or infinite outputs", "bad"
        elif found.dead_units and learns:
            state = f"{found.dead_units:,} of {units:,} units dead", "bad" if found.dead_units > units / 2 else "warn"
        elif found.dead_units:
            state = f"{found.dead_units:,} of {units:,} constant", ""
        else:
            state = "fine", "good"
        cells.append((found.name, state, shown_shape(found.shape),
                      *(f"{value:.4g}" for value in (found.mean, found.std, found.min, found.max))))
    drawn_of = f" of {len(x):,}, drawn at random" if len(rows) < len(x) else ""
    return [tag("h3", "Outputs of layers"),
            table(("Layer", "State", "Shape", "Mean", "Std", "Min", "Max"), cells, 3, label="Outputs of layers"),
            tag("p", f"For {len(rows):,} samples{drawn_of}; a dead unit gives the same number for each of them.",
                class_="soft")]
