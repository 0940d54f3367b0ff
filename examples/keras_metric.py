"""Keras 3 (here on torch; KERAS_BACKEND=jax does as well), recorded by one line: fit is called as before.

python examples/keras_metric.py
"""

import os

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras
from sklearn.datasets import load_digits

import trainmap as tm

keras.utils.set_random_seed(0)
x, y = load_digits(return_X_y=True)
x = x / 16
model = keras.Sequential(
    [keras.Input((64,)), keras.layers.Dense(64, "relu"), keras.layers.Dense(10, activation="softmax")]
)
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])

watch = tm.KerasRecorder(model, "keras-dynamics", overwrite=True)  # the one line, after compile
model.fit(x, y, batch_size=32, epochs=10, verbose=0)

datamap = tm.DataMap.from_dynamics(tm.Dynamics.open("keras-dynamics"))
tm.plot_map(datamap, "keras-map.png")
print(datamap.table["region"].value_counts(sort=True))
suspects = tm.audit(tm.Dynamics.open("keras-dynamics")).table.head(3)
print("labels that look wrong first:", suspects)
