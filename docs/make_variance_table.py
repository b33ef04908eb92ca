"""What happens to signals and gradients in deep stacks: initializer x activation x depth -> variance.

Writes the table in docs/initializers.md and the picture docs/variance.png (`pip install 'fastnn[viz]'`).

Each stack is DEPTH layers of WIDTH units without bias, the activation a layer of its own. Forward: the variance of what
goes into the k-th activation over that of the first. Backward: the mean square of the gradient there, of noise at the
end of the stack, k layers below the end over that at the end. Geometric means of SEEDS stacks, SAMPLES samples of
standard normal inputs.

Run: python docs/make_variance_table.py
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import fastnn as fnn
from fastnn.weights.backward import pulled_back

WIDTH, DEPTH, SEEDS, SAMPLES = 256, 50, 4, 256
ACTIVATIONS = ("relu", "tanh", "sigmoid", "selu", "gelu")
INITIALIZERS = {
    "he_normal": lambda: fnn.initializers.HeNormal(),
    "glorot_uniform": lambda: fnn.initializers.GlorotUniform(),
    "lecun_normal": lambda: fnn.initializers.LecunNormal(),
    "orthogonal": lambda: fnn.initializers.Orthogonal(),
    "orthogonal, gain 2 ** 0.5": lambda: fnn.initializers.Orthogonal(2**0.5),
    "random_normal": lambda: fnn.initializers.RandomNormal(),
    "random_normal, stddev 0.1": lambda: fnn.initializers.RandomNormal(0.0, 0.1),
}
DEPTHS = (5, 20, 50)
STYLES = ("-", "-", (0, (6, 6)), (6, (6, 6)), (0, (3, 3)), "-", "-")  # equal curves are seen through each other
FOLDER = Path(__file__).resolve().parent
BEGIN, END = "<!-- variance table: begin -->\n", "<!-- variance table: end -->"


def profile(activation: str, initializer: str, width: int = WIDTH, depth: int = DEPTH,
            seeds: int = SEEDS) -> tuple[np.ndarray, np.ndarray]:
    """Forward (depth,), at the k-th layer over the first; backward (depth,), k layers below the last."""
    found = np.log([_one(activation, initializer, width, depth, seed) for seed in range(seeds)])
    forward, backward = np.exp(found.mean(axis=0))
    return forward / forward[0], backward[::-1] / backward[-1]


def _one(activation: str, initializer: str, width: int, depth: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    layers = []
    for _ in range(depth):
        layers.append(fnn.layers.Dense(width, use_bias=False, kernel_initializer=INITIALIZERS[initializer](),
                                       trainable=False))
        layers.append(fnn.layers.Activation(activation))
    model = fnn.Sequential([fnn.Input((width,)), *layers], seed=seed, dtype="float64")
    rng = np.random.default_rng(seed)
    x, gradient = rng.normal(size=(2, SAMPLES, width))
    outputs = [out for _, out in fnn.weights.layer_outputs(model, x, n_threads=1)]
    squares = []
    for i in range(2 * depth - 1, 0, -1):
        gradient = pulled_back(model, layers[i:i + 1], outputs[i - 1], gradient, 1)
        if i % 2:  # an activation: this is the gradient at its input
            squares.append(np.mean(gradient**2))
    return np.maximum([out.var() for out in outputs[::2]], 1e-300), np.maximum(squares[::-1], 1e-300)


def table(profiles: dict[tuple[str, str], tuple[np.ndarray, np.ndarray]]) -> str:
    """Markdown: for each depth what is left of the variance, forward and backward."""
    lines = ["| activation | initializer | " + " | ".join(f"{depth} layers" for depth in DEPTHS) + " |",
             "|---|---|" + "---|" * len(DEPTHS)]
    for (activation, initializer), (forward, backward) in profiles.items():
        cells = [f"{_short(forward[depth - 1])}, {_short(backward[depth - 1])}" for depth in DEPTHS]
        lines.append(f"| {activation} | {initializer} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _short(value: float) -> str:
    return f"{value:.2g}" if 0.01 <= value < 100 else f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e+")


def picture(profiles: dict[tuple[str, str], tuple[np.ndarray, np.ndarray]]) -> None:
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(2, len(ACTIVATIONS), figsize=(13, 5.2), sharex=True, sharey=True)
    for column, activation in enumerate(ACTIVATIONS):
        for row, what in enumerate(("signals, from the first layer on", "gradients, from the last layer down")):
            ax = axes[row, column]
            ax.axhspan(1e-4, 1e4, color="0.93")
            for initializer, style in zip(INITIALIZERS, STYLES, strict=True):
                ax.semilogy(np.arange(1, DEPTH + 1), profiles[activation, initializer][row], label=initializer, lw=1.5,
                            linestyle=style)
            ax.set_ylim(1e-20, 1e20)
            if row == 0:
                ax.set_title(activation)
            else:
                ax.set_xlabel("layers")
            if column == 0:
                ax.set_ylabel(f"variance of\n{what}", fontsize=8)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="lower center", ncol=4, fontsize=8, frameon=False)
    figure.tight_layout(rect=(0, 0.09, 1, 1))
    figure.savefig(FOLDER / "variance.png", dpi=100, metadata={"Software": None})


def main() -> None:
    profiles = {(activation, initializer): profile(activation, initializer)
                for activation in ACTIVATIONS for initializer in INITIALIZERS}
    page = FOLDER / "initializers.md"
    text = page.read_text(encoding="utf-8")
    if BEGIN not in text or END not in text:
        sys.exit(f"{page} has no lines {BEGIN.strip()} and {END}")
    head, rest = text.split(BEGIN)
    page.write_text(head + BEGIN + table(profiles) + END + rest.split(END)[1], encoding="utf-8")
    picture(profiles)


if __name__ == "__main__":
    main()
