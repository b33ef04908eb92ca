"""
scikit-learn's estimator, faster
================================

The same pipeline with scikit-learn's ``MLPClassifier`` and with fastnn's: the import is all that changes, and the
predictions are as good. You see what it takes, and what fastnn's has beyond: other activations and optimizers, dropout,
validation data of one's own.
"""

import time
import warnings

import matplotlib.pyplot as plt  # pip install "fastnn[viz]"
from sklearn import neural_network
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import fastnn as fnn
import fastnn.sklearn

warnings.simplefilter("ignore", ConvergenceWarning)
X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X.astype("float32"), y, random_state=0, stratify=y)

for library in (neural_network, fastnn.sklearn):
    model = make_pipeline(StandardScaler(), library.MLPClassifier(max_iter=50, random_state=0))
    begin = time.perf_counter()
    model.fit(X_train, y_train)
    seconds = time.perf_counter() - begin
    print(f"{library.__name__:24s} {seconds * 1e3:5.0f} ms  accuracy {model.score(X_test, y_test):.4f}")

# %%
# More than the original has:

model = fastnn.sklearn.MLPClassifier((128, 64), activation="gelu", dropout=[0.3, 0.1], optimizer="adamw",
                                     learning_rate_init=0.003, scoring="accuracy", early_stopping=True, max_iter=200,
                                     random_state=0)
model.fit(X_train / 16, y_train, X_val=X_test / 16, y_val=y_test)
print(f"gelu, dropout, AdamW: best of {model.n_iter_} epochs {model.best_validation_score_:.4f}")

# %%
# What the estimator keeps fits the plots of `fastnn.weights`, too.

fnn.weights.plot.confusion_matrix(y_test, model.predict(X_test / 16))
plt.show()
