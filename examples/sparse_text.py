"""
Text: which part of SciPy is this about?
========================================

A paragraph of text becomes a row with a column for each word, and for each pair of neighbouring words: tens of
thousands of columns, of which a row has some dozens. A ``Dense`` layer takes such rows as a matrix of
``scipy.sparse``, and ``LazyAdam`` steps only on the columns that a batch has.

The texts are on every machine that has fastnn: the documentation inside SciPy's source files. You see how raw text
becomes a sparse matrix, what a network makes of paragraphs from files that it has not seen, and which words matter.
"""

import re
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path

import matplotlib.pyplot as plt  # pip install "fastnn[viz]"
import numpy as np
import scipy
from scipy import sparse

import fastnn as fnn

# %%
# Paragraphs
# ----------
# Every docstring of ten subpackages, cut where it has an empty line. Names of the subpackages are taken out: they would
# give the answer away. A quarter of the *files* is kept for the test, since paragraphs of one file resemble each other.

NAMES = ["fft", "integrate", "interpolate", "io", "linalg", "ndimage", "optimize", "signal", "spatial", "stats"]
WORD, DOCSTRING = re.compile("[a-z]{3,}"), re.compile('"""(.+?)"""', re.DOTALL)


def paragraphs(path):
    for docstring in DOCSTRING.findall(path.read_text("utf-8")):
        for paragraph in docstring.lower().split("\n\n"):
            words = [word for word in WORD.findall(paragraph) if word not in NAMES]
            if len(words) >= 10:
                yield words + [" ".join(pair) for pair in pairwise(words)]


rng = np.random.default_rng(0)
texts, labels, is_test = [], [], []
for label, name in enumerate(NAMES):
    files = [path for path in sorted((Path(scipy.__file__).parent / name).rglob("*.py")) if "tests" not in path.parts]
    for path in files:
        found, chosen = list(paragraphs(path)), rng.random() < 0.25
        texts += found
        labels += [label] * len(found)
        is_test += [chosen] * len(found)
y, is_test = np.array(labels), np.array(is_test)
print(f"{len(texts):,} paragraphs, {is_test.sum():,} of them for the test")

# %%
# The matrix
# ----------
# A column for each word or pair that three paragraphs for training have. Rare ones weigh more: the logarithm of how few
# paragraphs have them, and rows are divided by their lengths ("tf-idf").

counts = Counter(term for text, test in zip(texts, is_test, strict=True) if not test for term in dict.fromkeys(text))
terms = [term for term, count in counts.items() if count >= 3]
column = {term: i for i, term in enumerate(terms)}
entries = [(row, column[term]) for row, text in enumerate(texts) for term in dict.fromkeys(text) if term in column]
rows, columns = np.array(entries).T
weight = np.log((~is_test).sum() / np.array([counts[term] for term in terms]))[columns]
weight /= np.sqrt(np.bincount(rows, weight**2, len(texts)))[rows]
x = sparse.csr_matrix((weight.astype(np.float32), (rows, columns)), shape=(len(texts), len(terms)))
print(f"{x.shape[0]:,} x {x.shape[1]:,}, {x.nnz / x.shape[0]:.0f} entries in a row: "
      f"{x.nnz * 8 / 1e6:.0f} MB instead of {np.prod(x.shape) * 4 / 1e9:.1f} GB")

# %%
# Training
# --------

model = fnn.Sequential([
    fnn.layers.Dense(64, activation="relu"),
    fnn.layers.Dropout(0.5),
    fnn.layers.Dense(len(NAMES), activation="softmax"),
], seed=0)
model.compile(fnn.optimizers.LazyAdam(0.002), "sparse_categorical_crossentropy", metrics=["accuracy"])
begin = time.perf_counter()
history = model.fit(x[~is_test], y[~is_test], batch_size=64, epochs=8, verbose=2,
                    validation_data=(x[is_test], y[is_test]))
seconds = time.perf_counter() - begin
likely = np.bincount(y[is_test]).max() / is_test.sum()
print(f"{model.count_params():,} weights, {seconds:.1f} s; accuracy on files not seen "
      f"{model.evaluate(x[is_test], y[is_test])[1]:.3f}, of the most frequent answer {likely:.3f}")

# %%
fnn.weights.plot.curves(history, ["loss", "accuracy"])
plt.show()

# %%
# What is mistaken for what
# -------------------------
# Mostly, what shares its subject: filters of ``signal`` and of ``ndimage``, matrices of ``linalg`` and elsewhere.

fnn.weights.plot.confusion_matrix(y[is_test], model.predict(x[is_test]).argmax(axis=1), NAMES)
plt.show()

# %%
# The words that decide
# ---------------------
# The product of the two kernels says how each term is connected with each answer
# (`fastnn.weights.connection_weights`); times how much of it the texts of that answer have, it says what usually
# decides.

connected = fnn.weights.connection_weights(model)
fig, axes = plt.subplots(2, 5, figsize=(12, 5), layout="constrained")
for label, (name, ax) in enumerate(zip(NAMES, axes.flat, strict=True)):
    score = connected[:, label] * np.asarray(x[~is_test & (y == label)].mean(axis=0)).ravel()
    top = score.argsort()[-8:]
    ax.barh([terms[i] for i in top], score[top])
    ax.set(title=name, xticks=[])
    print(f"{name:12} {', '.join(terms[i] for i in top[::-1])}")
fig.suptitle("Terms that speak for a subpackage most")
plt.show()
