"""How fast ``fit`` trains beside a torch DataLoader with per-sample transforms, and what a teacher costs a student.

    python benchmarks/training.py --data-root /usr/share/datasets/fashion-mnist      # about 6 minutes on 2 cores

One thread. Two tables, each of epochs that take turns in one process; a cell is the median over its turns.

    loading   ``fit`` (images in memory; gathered, mirrored, moved and scaled a batch at a time) against the same
              network, optimizer and loss fed by a DataLoader whose every image goes through torchvision's transforms:
              torchvision's own FashionMNIST with the classic transforms of its PIL images, uint8 tensors with
              transforms.v2, and the first of them with two worker processes. CPU is that of the training process alone
              (workers are extra), wall all there is to wait for. The ratio is the loader's time over fit's, turn by
              turn.
    teacher   an epoch of a cnn-16 without a teacher, with its logits from a cache, and with the teacher itself
              (cnn-32, and resnet14-16) at every step. The ratio is over the epoch without a teacher. What the cached
              logits add is smaller than the noise of an epoch, so the loss is also timed alone, on ready logits.

Without the data set, --made draws random images: nothing here depends on the pixels.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset
from torchvision import transforms
from torchvision.datasets import FashionMNIST
from torchvision.transforms import v2

from trainmap.data.dataset import Dataset, load_splits
from trainmap.distillation.losses import cross_entropy
from trainmap.distillation.settings import Distillation
from trainmap.models.build import build
from trainmap.models.cost import forward_flops
from trainmap.models.layout import is_convolutional
from trainmap.models.predict import predict_pairs
from trainmap.training.fit import fit
from trainmap.training.optimizer import make_optimizer
from trainmap.training.recipes import Recipe
from trainmap.training.step import Teaching, objective

RECIPE = Recipe(epochs=1, peak_lr=0.01, flips=True, crop=2)
Times = dict[str, list[tuple[float, float]]]  # name → (CPU seconds, wall seconds) of every turn


def training_set(arguments: argparse.Namespace, images: int) -> Dataset:
    if arguments.made:
        rng = np.random.default_rng(0)
        x = rng.integers(0, 256, (images, 1, 28, 28), dtype=np.uint8)
        return Dataset("made", np.arange(images), x, rng.integers(0, 10, images), 10)
    whole = load_splits("fashion-mnist", arguments.data_root, validation=0).train
    return whole.subset(whole.ids[:images])


class Classic(FashionMNIST):
    """torchvision's own dataset, and the transforms that its examples use; the images are given, not read."""

    def __init__(self, data: Dataset) -> None:
        self.data, self.targets = torch.from_numpy(data.x[:, 0]), torch.from_numpy(data.y)
        self.target_transform = None
        self.transform = transforms.Compose(
            [
                transforms.RandomCrop(data.x.shape[2:], padding=2),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize([0.5], [0.25]),
            ]
        )


class Tensors(TorchDataset[tuple[Any, int]]):
    """Tensors in place of PIL images, and the transforms of today."""

    def __init__(self, data: Dataset) -> None:
        self.images, self.y = list(torch.from_numpy(data.x)), data.y.tolist()
        self.transform = v2.Compose(
            [
                v2.RandomCrop(data.x.shape[2:], padding=2),
                v2.RandomHorizontalFlip(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize([0.5], [0.25]),
            ]
        )

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, row: int) -> tuple[Any, int]:
        return self.transform(self.images[row]), self.y[row]


def loader(data: Dataset, pil: bool, workers: int) -> DataLoader[tuple[Any, int]]:
    draws, made = torch.Generator().manual_seed(0), Classic(data) if pil else Tensors(data)
    return DataLoader(
        made, RECIPE.batch, shuffle=True, num_workers=workers, generator=draws, persistent_workers=workers > 0
    )


def loaded_epoch(name: str, data: Dataset, batches: DataLoader[tuple[Any, int]]) -> tuple[float, float]:
    """An epoch of a plain loop over a DataLoader: what ``fit`` does, without its loading."""
    model = build(name, data.classes, data.inputs, 0).train()
    layout = torch.channels_last if is_convolutional(model) else torch.contiguous_format
    model.to(memory_format=layout)  # pyright: ignore[reportCallIssue]
    optimizer = make_optimizer(model, RECIPE)
    wall, cpu = time.perf_counter(), time.process_time()
    for x, y in batches:
        losses = cross_entropy(model(x.to(memory_format=layout)), y, RECIPE.label_smoothing)
        optimizer.zero_grad()
        losses.mean().backward()
        optimizer.step()
    return time.process_time() - cpu, time.perf_counter() - wall


def fitted_epoch(name: str, data: Dataset, recipe: Recipe = RECIPE, **teaching: Any) -> tuple[float, float]:
    result = fit(build(name, data.classes, data.inputs, 0), data, recipe, seed=0, **teaching)
    return result.cpu_seconds, result.seconds


def take_turns(ways: dict[str, Callable[[], tuple[float, float]]], turns: int) -> Times:
    """Every way once a turn, after one turn that is not counted; every other turn backwards."""
    times: Times = {name: [] for name in ways}
    for turn in range(turns + 1):
        for name in list(ways) if turn % 2 else reversed(ways):
            seconds = ways[name]()
            if turn:
                times[name].append(seconds)
    return times


def rows(times: Times, first: str, images: int) -> Iterator[str]:
    """A line for each way: microseconds for an image, images in a second, and the ratios to the first."""
    for name, seconds in times.items():
        cpu, wall = (statistics.median(part) for part in zip(*seconds, strict=True))
        ratios = [
            [mine[which] / base[which] for mine, base in zip(seconds, times[first], strict=True)] for which in (0, 1)
        ]
        middle = [statistics.median(part) for part in ratios]
        spread = f"{min(ratios[0]):.2f} to {max(ratios[0]):.2f}"
        cells = f"{1e6 * cpu / images:.1f} | {images / wall:.0f} | {middle[0]:.2f} ({spread}) | {middle[1]:.2f}"
        yield f"| {name} | {cells} |"


HEADER = """
| way | CPU us an image | images a second | CPU ratio (least to most) | wall ratio |
|---|---|---|---|---|""".lstrip()


def loss_alone(data: Dataset, cached: np.ndarray, loss: Distillation | None, steps: int = 400) -> float:
    """Median CPU microseconds an image of a step's loss, forwards and backwards, on ready logits."""
    teaching = Teaching() if loss is None else Teaching(cached, loss)
    of = objective(nn.Identity(), data, Recipe(epochs=1, flips=True), 0, teaching)
    draws = torch.Generator().manual_seed(0)
    logits = torch.randn(RECIPE.batch, data.classes, generator=draws, requires_grad=True)
    labels, seconds = torch.from_numpy(data.y), []
    for _ in range(steps):
        place = torch.randint(0, len(data), (RECIPE.batch,), generator=draws)
        flipped = torch.rand(RECIPE.batch, generator=draws) < 0.5
        start = time.process_time()
        _, losses = of(logits, labels[place], place, flipped, 0.5)
        losses.mean().backward()
        seconds.append(time.process_time() - start)
    return 1e6 * statistics.median(seconds) / RECIPE.batch


def bench_loading(arguments: argparse.Namespace, name: str, images: int) -> None:
    data = training_set(arguments, images)
    ways: dict[str, Callable[[], tuple[float, float]]] = {"fit": lambda: fitted_epoch(name, data)}
    for title, pil, workers in (
        ("DataLoader, PIL", True, 0),
        ("DataLoader, v2", False, 0),
        ("DataLoader, PIL, 2 workers", True, 2),
    ):
        batches = loader(data, pil, workers)
        ways[title] = lambda batches=batches: loaded_epoch(name, data, batches)
    print(f"\n{name}, {images} images an epoch, {arguments.turns} turns\n{HEADER}", flush=True)
    print("\n".join(rows(take_turns(ways, arguments.turns), "fit", images)), flush=True)


def bench_teacher(arguments: argparse.Namespace, images: int, student: str = "cnn-16") -> None:
    data, recipe = training_set(arguments, images), Recipe(epochs=1, peak_lr=0.01, flips=True)
    own = forward_flops(build(student, data.classes, data.inputs, 0), data.inputs)
    ways: dict[str, Callable[[], tuple[float, float]]] = {"no teacher": lambda: fitted_epoch(student, data, recipe)}
    teachers: dict[str, nn.Module] = {name: build(name, data.classes, data.inputs, 1) for name in arguments.teachers}
    first = next(iter(teachers.values()))
    cached = predict_pairs(first, data).astype(np.float16)
    for loss in ("hinton", "dkd", "dist"):
        told = Distillation(loss)
        ways[f"cached, {loss}"] = lambda told=told: fitted_epoch(student, data, recipe, teaching=Teaching(cached, told))
    for name, teacher in teachers.items():
        ways[f"live {name}"] = lambda teacher=teacher: fitted_epoch(student, data, recipe, teaching=Teaching(teacher))
        print(f"{name}: a forward pass has {forward_flops(teacher, data.inputs) / own:.1f} times the student's FLOPs")
    print(f"\n{student}, {images} images an epoch, {arguments.turns} turns\n{HEADER}", flush=True)
    times = take_turns(ways, arguments.turns)
    print("\n".join(rows(times, "no teacher", images)), flush=True)
    whole = 1e6 * statistics.median(cpu for cpu, _ in times["no teacher"]) / images
    plain = loss_alone(data, cached, None)
    for loss in ("hinton", "dkd", "dist"):
        extra = loss_alone(data, cached, Distillation(loss)) - plain
        print(f"the loss alone, {loss} with cached logits: {extra:+.2f} us an image = {extra / whole:+.1%} of an epoch")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", default="/usr/share/datasets/fashion-mnist")
    parser.add_argument("--made", action="store_true", help="random images in place of Fashion-MNIST")
    parser.add_argument("--models", nargs="*", default=["mlp-256", "cnn-16", "resnet8-16"])
    parser.add_argument("--teachers", nargs="+", default=["cnn-32", "resnet14-16"])
    parser.add_argument("--images", type=int, default=2560, help="images an epoch")
    parser.add_argument("--turns", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for name in arguments.models:
        bench_loading(arguments, name, arguments.images)
    bench_teacher(arguments, arguments.images)


if __name__ == "__main__":
    main()
