"""
Training and validation curves
==============================

Loss and metrics over the epochs, of the training and the validation samples. A star marks the best epoch of
each; the schedule's learning rate has a panel of its own.
"""

# %%
import fastnn as fnn

(x, y), (x_test, y_test) = fnn.datasets.load_digits()
model = fnn.Sequential([fnn.layers.Flatten(), fnn.layers.Rescaling(1 / 16), fnn.layers.Dense(64, "relu"),
                        fnn.layers.Dense(32, "relu"), fnn.layers.Dense(10, "softmax")], seed=0)
rate = fnn.schedules.CosineDecay(3e-3, decay_steps=20 * 45)
model.compile(fnn.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
history = model.fit(x, y, epochs=20, validation_data=(x_test, y_test), verbose=0)

# %%
# ``history.plot()`` draws the same.
axes = fnn.weights.plot.curves(history)
