"""What recording costs in a training loop, in CPU time, and what an evaluation pass per epoch costs instead.

    python benchmarks/recording.py --data-root /usr/share/datasets/fashion-mnist      # about 5 minutes on 2 cores

A small convolutional network (cnn-16) trains on Fashion-MNIST with one thread. Two figures for each batch size:

    replayed  the recorder's calls (update for every batch, end_epoch with all six signals) over a whole epoch of
              60,000 examples, timed alone; divided by the CPU time of an epoch of training steps, taken from the
              steps of the same process. Median over epochs. This is the sharp figure.
    paired    the same training steps, in turn with and without ``recorder.update``; the difference of the medians,
              which the noise of a step (some per cent) mostly hides. Shown so that nothing hides in the replay.

Without the data set, --made draws random images: the cost of a step and of recording does not depend on the pixels.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from torch import nn

import trainmap as tm
from trainmap.data.dataset import Dataset, load_splits
from trainmap.data.inputs import to_float
from trainmap.models.build import build
from trainmap.models.predict import predict


def training_set(arguments: argparse.Namespace) -> Dataset:
    if not arguments.made:
        return load_splits("fashion-mnist", arguments.data_root, validation=0).train
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (60_000, 1, 28, 28), dtype=np.uint8)
    return Dataset("made", np.arange(60_000), images, rng.integers(0, 10, 60_000), 10)


def step(model: nn.Module, optimizer: torch.optim.Optimizer, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """One plain training step; returns its logits."""
    logits = model(x)
    loss = nn.functional.cross_entropy(logits, y, label_smoothing=0.1)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return logits.detach()


def replayed(
    folder: Path, data: Dataset, batches: list[tuple[np.ndarray, torch.Tensor, torch.Tensor]], epochs: int
) -> float:
    """Median CPU seconds of recording one epoch: the same calls as in a loop, on ready logits."""
    shutil.rmtree(folder, ignore_errors=True)
    seconds = []
    with tm.Recorder(folder, classes=data.classes, ids=data.ids, labels=data.y) as recorder:
        for _ in range(epochs):
            start = time.process_time()
            for ids, logits, labels in batches:
                recorder.update(ids, logits, labels)
            recorder.end_epoch()
            seconds.append(time.process_time() - start)
    return statistics.median(seconds[1:])


def bench(data: Dataset, batch: int, epochs: int, steps: int) -> None:
    model = build("cnn-16", data.classes, data.inputs, 0).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, nesterov=True)
    images, labels = torch.from_numpy(data.x), torch.from_numpy(data.y)
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(0))
    places = list(order.split(batch))
    with tempfile.TemporaryDirectory() as scratch:
        recorder = tm.Recorder(Path(scratch) / "paired", classes=data.classes, ids=data.ids, labels=data.y)
        plain, recorded = [], []
        model.train()
        for number in range(steps):
            place = places[number % len(places)]
            if number and number % len(places) == 0:
                recorder.end_epoch(allow_missing=True)
            for times, record in ((plain, False), (recorded, True)):
                start = time.process_time()
                logits = step(model, optimizer, to_float(images[place], channels_last=True), labels[place])
                if record:
                    recorder.update(data.ids[place.numpy()], logits, labels[place])
                times.append(time.process_time() - start)
        of_epoch = statistics.median(plain) * len(places)
        ready = [(data.ids[p.numpy()], torch.randn(len(p), data.classes), labels[p]) for p in places]
        cost = replayed(Path(scratch) / "replayed", data, ready, epochs)
        start = time.process_time()
        predict(model, data)
        sweep = time.process_time() - start
        buffer = np.empty((len(data), data.classes), np.float32)
        start = time.process_time()
        for place, (_, logits, _) in zip(places, ready, strict=True):
            buffer[place.numpy()] = logits.numpy()
        raw = time.process_time() - start
    difference = statistics.median(recorded) / statistics.median(plain) - 1
    print(
        f"batch {batch}: an epoch of training {of_epoch:.2f} CPU-s; recording {1000 * cost:.1f} CPU-ms "
        f"= {cost / of_epoch:.3%} of it ({1e6 * cost / len(data):.2f} us an example); "
        f"a raw buffer write {raw / of_epoch:.3%}; paired steps {difference:+.2%} (n={len(plain)}); "
        f"an evaluation pass instead {sweep:.2f} CPU-s = {sweep / of_epoch:.1%}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", default="/usr/share/datasets/fashion-mnist")
    parser.add_argument("--made", action="store_true", help="random images in place of Fashion-MNIST")
    parser.add_argument("--batches", type=int, nargs="+", default=[128, 512])
    parser.add_argument("--epochs", type=int, default=7, help="replayed epochs")
    parser.add_argument("--steps", type=int, default=120, help="paired steps")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    data = training_set(arguments)
    for batch in arguments.batches:
        bench(data, batch, arguments.epochs, arguments.steps)


if __name__ == "__main__":
    main()
