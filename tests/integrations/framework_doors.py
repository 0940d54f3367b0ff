"""Frameworks that own the loop: Lightning, Keras on its two backends; and a loop of JAX."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import warnings
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import contract
import numpy as np
from contract import Job, Stopped

import trainmap as tm

QUIET: Any = 0  # Keras calls it a text and takes a number

OTHER = (contract.Y + 1) % contract.CLASSES  # labels of an evaluation


class LightningDoor:
    """A LightningModule as anyone writes it, and a Trainer with the callback."""

    without: Mapping[str, str] = {
        "resume in mid-epoch": "Lightning: it shows the first batches again and never the last; so it is recorded"
    }

    def train(self, folder: Path, job: Job) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Lightning about small data, of what it calls in torch
            self._train(folder, job)

    def _train(self, folder: Path, job: Job) -> None:
        import pytorch_lightning as pl
        import torch
        from loop_doors import loader_of, network
        from pytorch_lightning.callbacks import ModelCheckpoint
        from torch.nn.functional import cross_entropy

        logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
        torch.set_num_threads(1)

        class Module(pl.LightningModule):
            def __init__(self) -> None:
                super().__init__()
                self.net = network()

            def training_step(self, batch: Any, number: int) -> Any:
                x, y = batch
                return cross_entropy(self.net(x), y)

            def validation_step(self, batch: Any, number: int) -> None:
                x, y = batch
                self.log("held", cross_entropy(self.net(x), y))

            def configure_optimizers(self) -> Any:
                return torch.optim.SGD(self.parameters(), lr=job.rate)

        class Stop(pl.Callback):
            def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
                if (trainer.current_epoch, trainer.fit_loop.batch_idx + 1) == job.stop and job.saves == "batch":
                    trainer.save_checkpoint(folder / "last.ckpt")
                job.after(trainer.current_epoch, trainer.fit_loop.batch_idx + 1)

        several = "RANK" in os.environ
        recorder = tm.LightningRecorder(folder / "dynamics", ids=job.ids, logits="net", classes=contract.CLASSES)
        kept = ModelCheckpoint(folder, "last", save_top_k=1, enable_version_counter=False)
        trainer = pl.Trainer(
            max_epochs=job.epochs,
            callbacks=[recorder, Stop(), *([kept] if job.saves == "epoch" else [])],
            accumulate_grad_batches=job.accumulate,
            accelerator="cpu",
            strategy="ddp" if several else "auto",
            devices=int(os.environ.get("WORLD_SIZE", "1")),
            logger=False,
            enable_checkpointing=job.saves == "epoch",
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        held = loader_of(Job(), OTHER) if job.evaluate else None
        trainer.fit(Module(), loader_of(job, job.labels), held, ckpt_path=folder / "last.ckpt" if job.again else None)


class KerasDoor:
    """``fit`` of a compiled model, as before."""

    without: Mapping[str, str] = {
        "workers": "Keras: of several workers Keras 3.15 itself trains on some batches twice and on others never",
        "resume in mid-epoch": "Keras: its checkpoints are begun anew at an epoch",
        "two processes": "Keras: one process; on JAX its distribution is of devices",
    }

    def train(self, folder: Path, job: Job) -> None:
        os.environ.setdefault("KERAS_BACKEND", "torch")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of numpy about arrays that Keras and torch exchange
            self._train(folder, job)

    def _train(self, folder: Path, job: Job) -> None:
        import keras

        class Stop(keras.callbacks.Callback):
            epoch = 0

            def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
                self.epoch = epoch

            def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
                job.after(self.epoch, batch + 1)

            def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
                assert self.model is not None
                self.model.save_weights(folder / "new.weights.h5")
                (folder / "new.weights.h5").replace(folder / "last.weights.h5")
                (folder / "epoch").write_text(str(epoch + 1))

        keras.utils.set_random_seed(job.shuffle or 0)
        model = keras.Sequential([keras.Input((contract.WIDTH,)), keras.layers.Dense(contract.CLASSES)])
        model.layers[0].set_weights([contract.WEIGHTS, contract.BIAS])
        ignore = None if job.bad is None else int(job.labels[job.bad])

        def skipping(labels: Any, logits: Any) -> Any:  # a loss that does not tell what it leaves out
            return keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True, ignore_class=ignore)

        model.compile(
            keras.optimizers.SGD(job.rate, gradient_accumulation_steps=job.accumulate if job.accumulate > 1 else None),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True) if ignore is None else skipping,
        )
        start = 0
        if job.again:
            start = int((folder / "epoch").read_text())
            model.load_weights(folder / "last.weights.h5")
        with tm.KerasRecorder(model, folder / "dynamics", ids=job.ids):
            model.fit(
                contract.X,
                job.labels,
                batch_size=job.batch,
                epochs=job.epochs,
                initial_epoch=start,
                shuffle=job.shuffle is not None,
                validation_data=(contract.X, OTHER) if job.evaluate else None,
                callbacks=[Stop()],
                verbose=QUIET,
            )


class KerasJaxDoor:
    """The same on JAX, in a process of its own: Keras has one backend in each."""

    without = KerasDoor.without

    def train(self, folder: Path, job: Job) -> None:
        if os.environ.get("KERAS_BACKEND") == "jax":
            KerasDoor().train(folder, job)
            return
        paths = [str(Path(tm.__file__).parent.parent), str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
        env = {**os.environ, "KERAS_BACKEND": "jax", "PYTHONPATH": os.pathsep.join(filter(None, paths))}
        words = [sys.executable, str(Path(__file__)), str(folder), json.dumps(asdict(job))]
        done = subprocess.run(words, env=env, capture_output=True, text=True, check=False, timeout=200)
        if done.returncode == 3:
            raise Stopped
        if done.returncode < 0:
            os.kill(os.getpid(), -done.returncode)
        assert done.returncode == 0, done.stderr[-3000:]


@cache
def jitted(rate: float, accumulate: int) -> tuple[Any, Any]:
    """A step that returns its logits, and its optimizer; compiled once for all trainings."""
    import jax
    import jax.numpy as jnp
    import optax

    optimizer = optax.MultiSteps(optax.sgd(rate), accumulate)

    @jax.jit
    def step(weights: Any, state: Any, x: Any, y: Any) -> Any:
        def loss_of(weights: Any) -> Any:
            logits = x @ weights[0] + weights[1]
            losses = optax.softmax_cross_entropy_with_integer_labels(logits, jnp.where(y < 0, 0, y))
            return jnp.where(y < 0, 0.0, losses).mean(), logits

        (_, logits), gradient = jax.value_and_grad(loss_of, has_aux=True)(weights)
        changes, state = optimizer.update(gradient, state, weights)
        return optax.apply_updates(weights, changes), state, logits

    return step, optimizer


class JaxDoor:
    """A loop over a jitted step that returns its logits."""

    without: Mapping[str, str] = {
        "workers": "JAX has no loader of its own; any that gives ids will do",
        "two processes": "JAX: tested in tests/integrations/test_jax_recorder.py, over jax.distributed",
    }

    def train(self, folder: Path, job: Job) -> None:
        import jax.numpy as jnp

        labels, ids = job.labels, job.ids
        step, optimizer = jitted(job.rate, job.accumulate)
        weights: Any = (jnp.asarray(contract.WEIGHTS), jnp.asarray(contract.BIAS))
        state, start, skip = optimizer.init(weights), 0, 0
        if job.again:
            kept = np.load(folder / "last.npz")
            weights, (start, skip) = (jnp.asarray(kept["w"]), jnp.asarray(kept["b"])), kept["at"].tolist()
        with tm.JaxRecorder(folder / "dynamics", contract.CLASSES, resume=job.again) as recorder:
            recorder.rewind(start)
            for epoch in range(start, job.epochs):
                order = np.arange(contract.N)
                if job.shuffle is not None:
                    order = np.random.default_rng([job.shuffle, epoch]).permutation(contract.N)
                for number, first in enumerate(range(0, contract.N, job.batch), 1):
                    if epoch == start and number <= skip:
                        continue
                    place = order[first : first + job.batch]
                    weights, state, logits = step(weights, state, contract.X[place], labels[place])
                    recorder.update(ids[place], logits, labels[place])
                    if job.saves == "batch":
                        self._save(folder, weights, (epoch, number))
                    job.after(epoch, number)
                recorder.end_epoch()
                if job.evaluate:
                    step(weights, state, contract.X, OTHER)
                if job.saves == "epoch":
                    self._save(folder, weights, (epoch + 1, 0))

    def _save(self, folder: Path, weights: Any, at: tuple[int, int]) -> None:
        np.savez(folder / "new.npz", w=weights[0], b=weights[1], at=at)
        (folder / "new.npz").replace(folder / "last.npz")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    try:
        KerasDoor().train(Path(sys.argv[1]), contract.from_words(sys.argv[2]))
    except Stopped:
        sys.exit(3)
