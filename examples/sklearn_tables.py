"""
A frame with categories and missing values, as it is
====================================================

``preset="auto"`` takes a pandas or polars frame with text, categories and missing values and tunes itself, beside
scikit-learn's usual pipeline of imputing, scaling and one-hot columns. You see both on 5,000 flats in 300 streets that
have levels and premiums of their own; a tenth of the ages is not known.
"""

import time
import warnings

import matplotlib.pyplot as plt  # pip install "fastnn[viz]"
import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPRegressor as TheirMLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from fastnn.sklearn import MLPRegressor

warnings.simplefilter("ignore", ConvergenceWarning)
N, STREETS = 5_000, 300


def flats(rng: np.random.Generator) -> tuple[pd.DataFrame, np.ndarray]:
    """Size, age, street and heating; and the logarithm of the price."""
    street = rng.choice(STREETS, N, p=rng.dirichlet(np.full(STREETS, 0.5)))
    heating = rng.choice(["gas", "oil", "heat pump"], N)
    size, age = rng.lognormal(4.2, 0.4, N), rng.exponential(30, N)
    level, premium = rng.normal(0, 0.3, STREETS), rng.normal(0.8, 0.15, STREETS)
    price = (level[street] + premium[street] * np.log(size) - 0.004 * np.minimum(age, 60)
             + 0.1 * (heating == "heat pump") + rng.normal(0, 0.1, N))
    age[rng.random(N) < 0.1] = np.nan
    table = pd.DataFrame({"size": size, "age": age, "street": [f"street {i}" for i in street],
                          "heating": pd.Categorical(heating)})
    return table, price


# %%
# Both are given the same frame.

X, y = flats(np.random.default_rng(0))
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
prepared = make_column_transformer(
    (make_pipeline(SimpleImputer(add_indicator=True), StandardScaler()), ["size", "age"]),
    (OneHotEncoder(handle_unknown="ignore"), ["street", "heating"]))
contestants = {
    "scikit-learn's MLP behind a ColumnTransformer": make_pipeline(prepared, TheirMLPRegressor(random_state=0)),
    "preset='auto'": MLPRegressor(preset="auto", max_iter=64, random_state=0),
}
fig, axes = plt.subplots(1, 2, figsize=(9, 4.5), sharex=True, sharey=True, layout="constrained")
for ax, (name, model) in zip(axes, contestants.items(), strict=True):
    begin = time.perf_counter()
    model.fit(X_train, y_train)
    print(f"{name:48s} R2 {model.score(X_test, y_test):.3f}  {time.perf_counter() - begin:5.1f} s")
    ax.plot(y_test, model.predict(X_test), ".", markersize=3)
    ax.axline((0, 0), slope=1, color="gray", linewidth=1)
    ax.set(title=name.replace(" behind", "\nbehind"), xlabel="true logarithm of the price", ylabel="predicted")
plt.show()
