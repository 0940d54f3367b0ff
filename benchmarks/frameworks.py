"""What each adapter adds to a training step, in CPU time, beside the framework's own step without it.

    python benchmarks/frameworks.py                       # about 3 minutes on 2 cores
    python benchmarks/frameworks.py Lightning JAX

What recording costs depends on the batch and the classes (here 256 and 10), not on the network.

    adapter   a small network is trained and recorded; the calling thread's CPU time inside everything that the adapter
              hangs into the framework (hooks, callbacks, what stands around the step), and inside the recorder, the
              epoch's writing included, for each of its 80 steps.
    ids       what naming the examples adds to a loader's batch: a loader of ready items with and without, in turn.
    step      two layers of 1,024 on 784 inputs (1.9 M parameters), without the adapter.

Each is the median over n epochs, and the least in brackets: what else runs on a machine only adds. Whole trainings with
and without were compared first; their difference, at most 3 % either way, drowns in the noise of a step. Keras has one
backend in a process, so each framework runs in one of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")

import numpy as np

import trainmap as tm

QUIET: Any = 0  # Keras calls it a text and takes a number

N, CLASSES, BATCH = 20_480, 10, 256
SMALL, LARGE = (16, 8), (784, 1024, 1024)  # inputs, hidden layers
HEAD = "| framework | step, ms | adapter, us | ids, us | share | n |\n|---|---|---|---|---|---|"
Clock = list[float]
Train = Callable[[tuple[int, ...], int, Path | None, int], Clock]  # widths, examples, folder or None, epochs


def data(count: int, width: int) -> tuple[Any, Any]:
    generator = np.random.default_rng(0)
    return generator.normal(size=(count, width)).astype(np.float32), generator.integers(0, CLASSES, count)


def torch_network(layers: tuple[int, ...]) -> Any:
    import torch
    from torch import nn

    torch.set_num_threads(1)
    parts: list[Any] = []
    for before, after in pairwise(layers):
        parts += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*parts, nn.Linear(layers[-1], CLASSES))


def torch_loader(count: int, width: int) -> Any:
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    x, y = data(count, width)
    return DataLoader(TensorDataset(torch.from_numpy(x), torch.from_numpy(y)), batch_size=BATCH, shuffle=True)


def plain(layers: tuple[int, ...], count: int, folder: Path | None, epochs: int) -> Clock:
    """A loop of one's own: ids by with_ids(loader)."""
    import torch
    from torch.nn.functional import cross_entropy

    network, loader, clock = torch_network(layers), torch_loader(count, layers[0]), []
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    recorder = None if folder is None else tm.Recorder(folder, CLASSES)
    if recorder is not None:
        loader = tm.with_ids(loader)
    for _ in range(epochs):
        clock.append(time.process_time())
        for batch in loader:
            x, y = batch[-2:]
            logits = network(x)
            optimizer.zero_grad()
            cross_entropy(logits, y).backward()
            optimizer.step()
            if recorder is not None:
                recorder.update(batch[0], logits, y)
        if recorder is not None:
            recorder.end_epoch()
    clock.append(time.process_time())
    if recorder is not None:
        recorder.close()
    return clock


def lightning(layers: tuple[int, ...], count: int, folder: Path | None, epochs: int) -> Clock:
    import logging

    import pytorch_lightning as pl
    import torch
    from torch.nn.functional import cross_entropy

    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    clock: Clock = []

    class Module(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = torch_network(layers)

        def training_step(self, batch: Any, number: int) -> Any:
            x, y = batch
            return cross_entropy(self.net(x), y)

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.01)

    class Watch(pl.Callback):
        def on_train_epoch_start(self, *_: Any) -> None:
            clock.append(time.process_time())

        def on_train_end(self, *_: Any) -> None:
            clock.append(time.process_time())

    recorder = [] if folder is None else [tm.LightningRecorder(folder, logits="net")]
    quiet: dict[str, Any] = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = pl.Trainer(
        max_epochs=epochs, callbacks=[Watch(), *recorder], accelerator="cpu", enable_model_summary=False, **quiet
    )
    trainer.fit(Module(), torch_loader(count, layers[0]))
    return clock


class Rows:
    """Items as mappings, as a Trainer has them."""

    def __init__(self, count: int, width: int) -> None:
        self.x, self.y = data(count, width)

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, place: int) -> dict[str, Any]:
        return {"x": self.x[place], "labels": int(self.y[place])}


def transformers(layers: tuple[int, ...], count: int, folder: Path | None, epochs: int) -> Clock:
    import torch
    from torch.nn.functional import cross_entropy
    from transformers import Trainer, TrainerCallback, TrainingArguments

    clock: Clock = []

    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = torch_network(layers)

        def forward(self, x: Any, labels: Any = None) -> Any:
            logits = self.net(x)
            return {"loss": cross_entropy(logits, labels), "logits": logits}

    class Watch(TrainerCallback):
        def on_epoch_begin(self, *_: Any, **__: Any) -> None:
            clock.append(time.process_time())

        def on_train_end(self, *_: Any, **__: Any) -> None:
            clock.append(time.process_time())

    with tempfile.TemporaryDirectory() as scratch:
        arguments = TrainingArguments(
            scratch,
            num_train_epochs=epochs,
            per_device_train_batch_size=BATCH,
            optim="sgd",
            save_strategy="no",
            logging_strategy="no",
            report_to=[],
            disable_tqdm=True,
            use_cpu=True,
        )
        rows: Any = Rows(count, layers[0])
        trainer = Trainer(Network(), arguments, train_dataset=rows, callbacks=[Watch()])
        if folder is not None:
            tm.attach(trainer, folder, classes=CLASSES)
        trainer.train()
    return clock


def keras(layers: tuple[int, ...], count: int, folder: Path | None, epochs: int) -> Clock:
    import keras as k

    x, y = data(count, layers[0])
    clock: Clock = []
    network = k.Sequential(
        [k.Input((layers[0],)), *[k.layers.Dense(width, "relu") for width in layers[1:]], k.layers.Dense(CLASSES)]
    )
    network.compile(k.optimizers.SGD(0.01), k.losses.SparseCategoricalCrossentropy(from_logits=True))
    watch = k.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: clock.append(time.process_time()),
        on_train_end=lambda logs: clock.append(time.process_time()),
    )
    if folder is not None:
        tm.KerasRecorder(network, folder)
    network.fit(x, y, batch_size=BATCH, epochs=epochs, verbose=QUIET, callbacks=[watch])
    return clock


def jax(layers: tuple[int, ...], count: int, folder: Path | None, epochs: int) -> Clock:
    import jax as j
    import optax

    x, y = data(count, layers[0])
    generator, clock = np.random.default_rng(0), []
    weights: Any = [
        (generator.normal(0, before**-0.5, (before, after)).astype(np.float32), np.zeros(after, np.float32))
        for before, after in pairwise((*layers, CLASSES))
    ]

    @j.jit
    def step(weights: Any, x: Any, y: Any) -> Any:
        def loss_of(weights: Any) -> Any:
            inner = x
            for weight, bias in weights[:-1]:
                inner = j.nn.relu(inner @ weight + bias)
            logits = inner @ weights[-1][0] + weights[-1][1]
            return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean(), logits

        (loss, logits), gradient = j.value_and_grad(loss_of, has_aux=True)(weights)
        return j.tree.map(lambda one, slope: one - 0.01 * slope, weights, gradient), loss, logits

    recorder = None if folder is None else tm.JaxRecorder(folder, CLASSES)
    for _ in range(epochs):
        clock.append(time.process_time())
        order = generator.permutation(count)
        for start in range(0, count, BATCH):
            place = order[start : start + BATCH]
            labels = y[place]
            weights, loss, logits = step(weights, x[place], labels)
            if recorder is not None:
                recorder.update(place, logits, labels)
            else:
                loss.block_until_ready()  # as a loop does that looks at its loss
        if recorder is not None:
            recorder.end_epoch()
    j.block_until_ready(weights)
    clock.append(time.process_time())
    if recorder is not None:
        recorder.close()
    return clock


INSIDE = {  # what an adapter hangs into its framework: file, class, methods
    "plain": [],
    "lightning": [
        (
            "lightning_recorder",
            "LightningRecorder",
            "_unwrap _listen on_train_batch_start on_before_backward on_train_batch_end on_train_epoch_end",
        )
    ],
    "transformers": [("trainer_tap", "Tap", "_heard on_train_begin on_step_end on_epoch_end")],
    "keras": [("keras_recorder", "KerasRecorder", "_take _begin_epoch _end_epoch"), ("jax_recorder", "OneLate", "put")],
    "jax": [("jax_recorder", "OneLate", "put flush")],
}


class Stopwatch:
    """The CPU time of this thread inside the methods that it is put around; calls within calls count once."""

    def __init__(self) -> None:
        self.seconds, self.depth = 0.0, 0

    def around(self, owner: Any, name: str) -> None:
        inner = getattr(owner, name)

        def timed(*given: Any, **named: Any) -> Any:
            start, self.depth = time.thread_time(), self.depth + 1
            try:
                return inner(*given, **named)
            finally:
                self.depth -= 1
                if self.depth == 0:
                    self.seconds += time.thread_time() - start

        setattr(owner, name, timed)


def by_loader() -> Clock:
    """CPU seconds that a batch's ids cost a loader, for several epochs."""
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    plain: Any = DataLoader(TensorDataset(torch.arange(N)), batch_size=BATCH, shuffle=True, collate_fn=len)
    return in_turn(plain, tm.with_ids(plain))


def by_collator() -> Clock:
    """CPU seconds that a batch's ids cost a Trainer: in the dataset's items and in the collator."""
    from torch.utils.data import DataLoader
    from transformers import default_data_collator

    from trainmap.integrations.trainer_tap import IdsAside

    rows: Any = Rows(N, SMALL[0])
    named = tm.with_ids(rows)
    collate = IdsAside(default_data_collator, "id", tensors=False)
    plain: Any = DataLoader(rows, batch_size=BATCH, shuffle=True, collate_fn=default_data_collator)
    return in_turn(plain, DataLoader(named, batch_size=BATCH, shuffle=True, collate_fn=collate))


def in_turn(plain: Any, named: Any) -> Clock:
    """CPU seconds of a batch of the second above those of the first."""
    found = []
    for _ in range(7):
        seconds = []
        for loader in (plain, named):
            start = time.thread_time()
            for _ in loader:
                pass
            seconds.append((time.thread_time() - start) * BATCH / N)
        found.append(seconds[1] - seconds[0])
    return found


FRAMEWORKS: dict[str, tuple[Train, str, Callable[[], Clock] | None]] = {  # training, Keras' backend, who names examples
    "DataLoader": (plain, "torch", by_loader),
    "Lightning": (lightning, "torch", by_loader),
    "Transformers": (transformers, "torch", by_collator),
    "Keras on torch": (keras, "torch", None),
    "Keras on JAX": (keras, "jax", None),
    "JAX": (jax, "jax", None),
}


def epochs_of(clock: Clock) -> Clock:
    """Seconds of each epoch but the first, which compiles and starts workers."""
    return [after - before for before, after in pairwise(clock[1:])]


def measure(name: str, epochs: int) -> dict[str, Clock]:
    train, _, naming = FRAMEWORKS[name]
    step = [seconds / 8 for seconds in epochs_of(train(LARGE, 8 * BATCH, None, epochs))]
    watch, inside = Stopwatch(), []
    for method in ("update", "end_epoch"):
        watch.around(tm.Recorder, method)
    for file, kind, methods in INSIDE[train.__name__]:
        owner = getattr(import_module(f"trainmap.integrations.{file}"), kind)
        for method in methods.split():
            watch.around(owner, method)
    ended = tm.Recorder.end_epoch

    def end_epoch(*given: Any, **options: Any) -> None:
        ended(*given, **options)
        inside.append(watch.seconds)

    tm.Recorder.end_epoch = end_epoch  # type: ignore[method-assign]
    with tempfile.TemporaryDirectory() as scratch:
        train(SMALL, N, Path(scratch) / "dynamics", epochs)
    adapter = [seconds * BATCH / N for seconds in epochs_of(inside)]
    return {"step": step, "adapter": adapter, "ids": naming() if naming else [0.0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("frameworks", nargs="*", default=[], help=", ".join(FRAMEWORKS))
    parser.add_argument("--epochs", type=int, default=7)
    parser.add_argument("--here", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.here:
        warnings.simplefilter("ignore")
        print(json.dumps(measure(arguments.here, arguments.epochs)))
        return
    print(HEAD)
    for name in arguments.frameworks or FRAMEWORKS:
        done = subprocess.run(
            [sys.executable, __file__, "--here", name, "--epochs", str(arguments.epochs)],
            env={**os.environ, "KERAS_BACKEND": FRAMEWORKS[name][1]},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            sys.exit(done.stderr)
        one = json.loads(done.stdout.splitlines()[-1])
        told = []
        for pick in (statistics.median, min):
            step, adapter, ids = (1e6 * pick(one[part]) for part in ("step", "adapter", "ids"))
            told.append((f"{step / 1000:.1f}", f"{adapter:.0f}", f"{ids:.0f}", f"{(adapter + ids) / step:.2%}"))
        cells = [f"{median} ({least})" for median, least in zip(*told, strict=True)]
        print(f"| {name} | {' | '.join(cells)} | {len(one['adapter'])} |", flush=True)


if __name__ == "__main__":
    main()
