"""Trainings of Keras on one backend, each recorded into a folder of its name; ``facts.json`` has what is to be told.

    KERAS_BACKEND=jax python keras_job.py FOLDER shuffled names

Keras has one backend in a process, so that the tests run this once for each.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

warnings.simplefilter("error")
warnings.filterwarnings("ignore", category=DeprecationWarning)  # of Keras and JAX about each other

import keras  # noqa: E402
import numpy as np  # noqa: E402

import trainmap as tm  # noqa: E402

QUIET: Any = 0  # Keras calls it a text and takes a number

N, WIDTH, CLASSES = 21, 4, 3
generator = np.random.default_rng(0)
X = generator.normal(size=(N, WIDTH)).astype(np.float32)
Y = np.arange(N) % CLASSES
Facts = dict[str, Any]


def network(
    rate: float = 0.0, end: str | None = None, loss: Any = None, outputs: int = CLASSES, **how: Any
) -> keras.Model:
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((WIDTH,)), keras.layers.Dense(outputs, activation=end)])
    chosen = loss or keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(rate, **how), chosen, metrics=["accuracy"])
    return model


def gold(model: keras.Model, labels: Any = Y) -> list[float]:
    """The probability of the gold class, by an evaluation pass."""
    outputs = np.asarray(model.predict(X, verbose=QUIET), np.float64)
    if np.abs(outputs.sum(axis=1) - 1).max() > 1e-5:
        outputs = np.exp(outputs) / np.exp(outputs).sum(axis=1, keepdims=True)
    return outputs[np.arange(N), labels].tolist()


def fit(model: keras.Model, y: Any = Y, **how: Any) -> Any:
    return model.fit(X, y, **{"batch_size": 4, "epochs": 2, "verbose": 0, **how}).history


def shuffled(folder: Path) -> Facts:
    model = network()
    watch = tm.KerasRecorder(model, folder, ids=np.arange(N) + 100)
    history = fit(model, validation_data=(X, (Y + 1) % CLASSES))
    return {"gold": gold(model), "logs": sorted(history), "refused": list(watch.refused)}


def unshuffled(folder: Path) -> Facts:
    model = network()
    tm.KerasRecorder(model, folder, ids=np.arange(N) + 100)
    fit(model, shuffle=False)
    return {}


def deep(loss: Any = None) -> keras.Model:
    keras.utils.set_random_seed(0)
    layers = [keras.Input((WIDTH,)), keras.layers.Dense(8, "relu"), keras.layers.Dropout(0.5, seed=3)]
    model = keras.Sequential([*layers, keras.layers.Dense(1 if loss else CLASSES)])
    model.compile("adam", loss or keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def sweeping(folder: Path) -> Facts:
    trained = []
    for recorded in (False, True):
        for every in ("epoch", 4):
            model = deep()
            if recorded:
                sample = None if every == "epoch" else 8
                tm.KerasRecorder(model, folder / str(every), ids=np.arange(N), sweep=True, every=every, sample=sample)
            keras.utils.set_random_seed(7)
            fit(model, validation_split=0.2 if every == 4 else 0.0)
            trained.append([np.asarray(weight).tolist() for weight in model.get_weights()])
            if recorded and every == "epoch":
                found = gold(model)
    return {"trained": trained, "gold": found}


def swept_data(folder: Path) -> Facts:
    model = deep("mse")
    names = np.array([f"example {at:02}" for at in range(N)])
    tm.KerasRecorder(model, folder, kind="regression", sweep=(X, Y.astype(np.float32), names))
    batches = [(X[start : start + 7], Y[start : start + 7].astype(np.float32)) for start in range(0, N, 7)]
    for _ in range(2):
        model.fit((one for one in batches * 2), steps_per_epoch=3, epochs=1, shuffle=False, verbose=QUIET)
    predicted = np.asarray(model.predict(X, verbose=QUIET))[:, 0]
    return {"residual": (predicted - Y).tolist()}


def softmax(folder: Path) -> Facts:
    model = network(end="softmax", loss="sparse_categorical_crossentropy")
    tm.KerasRecorder(model, folder)
    fit(model, Y[:, None])
    return {"gold": gold(model)}


def one_hot(folder: Path) -> Facts:
    model = network(end="softmax", loss=keras.losses.CategoricalCrossentropy(label_smoothing=0.1))
    tm.KerasRecorder(model, folder)
    fit(model, np.eye(CLASSES, dtype=np.float32)[Y])
    return {"gold": gold(model)}


def one_output(folder: Path) -> Facts:
    """A probability of the second class alone."""
    model = network(end="sigmoid", loss="binary_crossentropy", outputs=1)
    watch = tm.KerasRecorder(model, folder)
    fit(model, (Y % 2).astype(np.float32)[:, None])
    p = np.asarray(model.predict(X, verbose=QUIET), np.float64)[:, 0]
    return {"gold": np.where(Y % 2, p, 1 - p).tolist(), "refused": list(watch.refused)}


def certain(folder: Path) -> Facts:
    """Probabilities that are exactly 0 and 1 in single precision."""
    model = network(end="softmax", loss="sparse_categorical_crossentropy")
    model.layers[0].set_weights([np.zeros((WIDTH, CLASSES)), np.array([200.0, 0.0, 0.0])])
    watch = tm.KerasRecorder(model, folder)
    fit(model)
    return {"refused": list(watch.refused)}


def names(folder: Path) -> Facts:
    model = network()
    tm.KerasRecorder(model, folder, ids=[f"example {number}" for number in range(N)])
    fit(model)
    return {"gold": gold(model)}


def large(folder: Path) -> Facts:
    model = network()
    tm.KerasRecorder(model, folder, ids=np.arange(N) + (1 << 40))
    fit(model)
    return {"gold": gold(model)}


def weighed(folder: Path) -> Facts:
    """The training is the same as without a recorder: weights of classes and examples, and a split for validation."""
    found = []
    for watched in (False, True):
        for how in ({"class_weight": {0: 2.0, 2: 0.5}}, {"sample_weight": np.linspace(0, 2, N, dtype=np.float32)}):
            model = network(0.5)
            if watched:
                tm.KerasRecorder(model, folder, overwrite=True)
            history = fit(model, validation_split=0.2, shuffle=False, **how)
            found.append({name: values[-1] for name, values in sorted(history.items())})
    return {"without": found[:2], "with": found[2:]}


def accumulated(folder: Path) -> Facts:
    model = network(0.5, gradient_accumulation_steps=2)
    tm.KerasRecorder(model, folder)
    fit(model)
    return {}


def twice(folder: Path) -> Facts:
    model = network()
    tm.KerasRecorder(model, folder)
    fit(model)
    fit(model, epochs=1)
    fit(model, epochs=4, initial_epoch=3)
    return {}


def resumed(folder: Path) -> Facts:
    """Killed behind epoch 2, goes on from a checkpoint at 1."""
    model = network()
    with tm.KerasRecorder(model, folder):
        fit(model)
    model.layers[0].set_weights([np.ones((WIDTH, CLASSES)), np.arange(3.0)])
    with tm.KerasRecorder(model, folder):
        fit(model, epochs=3, initial_epoch=1)
    return {"gold": gold(model)}


def behind(folder: Path) -> Facts:
    """The checkpoint is ahead of the recording."""
    model = network()
    with tm.KerasRecorder(model, folder, ids=np.arange(N)):
        fit(model, epochs=1)
    with tm.KerasRecorder(model, folder, ids=np.arange(N)):
        fit(model, epochs=4, initial_epoch=3)
    return {}


class Break(keras.callbacks.Callback):
    """Ends a training at its eighth batch."""

    batches = 0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.batches += 1
        if self.batches == 8:
            raise KeyboardInterrupt


def broken(folder: Path) -> Facts:
    """Broken off in the middle of epoch 1, then trained again by the same recorder."""
    model = network()
    tm.KerasRecorder(model, folder)
    with suppress(KeyboardInterrupt):
        fit(model, callbacks=[Break()])
    before = tm.Dynamics.open(folder).epochs
    fit(model, epochs=1)
    return {"before": before}


class Batches(keras.utils.PyDataset):
    """Batches of a loader. (Of several workers Keras 3.15 itself draws some batches twice and others never.)"""

    def __init__(self, watch: Any) -> None:
        super().__init__(workers=1)
        self.watch = watch

    def __len__(self) -> int:
        return -(-N // 4)

    def __getitem__(self, number: int) -> Any:
        place = np.arange(N)[4 * number : 4 * number + 4]
        return X[place], self.watch.with_ids(Y[place], [f"example {at}" for at in place])


def loader(folder: Path) -> Facts:
    model = network()
    watch = tm.KerasRecorder(model, folder, ids=[f"example {number}" for number in range(N)])
    model.fit(Batches(watch), epochs=2, verbose=QUIET)
    return {"gold": gold(model)}


def unnamed(folder: Path) -> Facts:
    """A loader whose batches have no ids; the training is as before."""
    model = network()
    tm.KerasRecorder(model, folder)
    model.fit(((X[:4], Y[:4]) for _ in range(9)), epochs=1, steps_per_epoch=2, shuffle=False, verbose=QUIET)
    return {}


def ignored(folder: Path) -> Facts:
    """A label that the loss leaves out is none of a class: its batch is left out, and counted."""
    labels = Y.copy()
    labels[5] = -1
    model = network(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1))
    watch = tm.KerasRecorder(model, folder)
    fit(model, labels, epochs=1, shuffle=False)
    return {"refused": list(watch.refused)}


def half(folder: Path) -> Facts:
    keras.mixed_precision.set_dtype_policy("mixed_bfloat16")
    try:
        model = network()
        watch = tm.KerasRecorder(model, folder)
        fit(model)
        return {"gold": gold(model), "refused": list(watch.refused)}
    finally:
        keras.mixed_precision.set_dtype_policy("float32")


def two_outputs(folder: Path) -> Facts:
    keras.utils.set_random_seed(0)
    x = keras.Input((WIDTH,))
    one, other = keras.layers.Dense(2, name="one")(x), keras.layers.Dense(CLASSES, name="other")(x)
    model = keras.Model(x, {"one": one, "other": other})
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.0), {"one": loss, "other": loss})
    told = ""
    try:
        tm.KerasRecorder(model, folder)
    except tm.TrainmapError as error:
        told = str(error)
    tm.KerasRecorder(model, folder, output="other")
    fit(model, {"one": Y % 2, "other": Y})
    outputs = np.asarray(model.predict(X, verbose=QUIET)["other"], np.float64)
    p = np.exp(outputs) / np.exp(outputs).sum(axis=1, keepdims=True)
    return {"gold": p[np.arange(N), Y].tolist(), "told": told}


def detached(folder: Path) -> Facts:
    """Afterwards the model is as it was: it trains, is saved and opened."""
    model = network()
    with tm.KerasRecorder(model, folder):
        fit(model, epochs=1)
        watched = sorted(name for name in ("fit", "train_step") if name in model.__dict__)
        model.save(folder.with_suffix(".keras"))
    fit(model, epochs=1)
    again = keras.models.load_model(folder.with_suffix(".keras"))
    same = bool(np.array_equal(again.predict(X, verbose=QUIET), model.predict(X, verbose=QUIET)))  # type: ignore[union-attr]
    return {
        "watched": watched,
        "left": sorted(name for name in ("fit", "train_step") if name in model.__dict__),
        "same": same,
    }


def refusals(folder: Path) -> Facts:
    """What is told, by what was done wrong."""

    def told(call: Callable[[], Any]) -> str:
        try:
            call()
        except tm.TrainmapError as error:
            return str(error)
        return "nothing"

    bare = keras.Sequential([keras.Input((WIDTH,)), keras.layers.Dense(3)])
    model = network()
    watch = tm.KerasRecorder(model, folder)
    unbuilt = keras.Sequential([keras.layers.Dense(3)])
    unbuilt.compile("sgd", "mse")
    return {
        "not compiled": told(lambda: tm.KerasRecorder(bare, folder)),
        "no model": told(lambda: tm.KerasRecorder(3, folder)),
        "twice": told(lambda: tm.KerasRecorder(model, folder)),
        "not built": told(lambda: tm.KerasRecorder(unbuilt, folder)),
        "too few ids": told(lambda: watch.with_ids(Y, [1, 2])),
        "words": told(lambda: watch.with_ids(Y[:2], ["a", "b"])),
        "soft": told(lambda: watch.with_ids(np.array([[0.5, 0.5, 0.0]]))),
        "floating": told(lambda: watch.with_ids(np.array([0.5]))),
        "text": told(lambda: watch.with_ids(np.array(["a"]))),
    }


if __name__ == "__main__":
    place = Path(sys.argv[1])
    facts = {job: globals()[job](place / job) for job in sys.argv[2:]}
    (place / "facts.json").write_text(json.dumps(facts))
