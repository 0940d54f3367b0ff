"""Loops that their user owns: a plain DataLoader, and Accelerate."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import contract
import torch
import torch.distributed as dist
from contract import Job
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

import trainmap as tm


def network() -> nn.Linear:
    """The network of every torch door."""
    model = nn.Linear(contract.WIDTH, contract.CLASSES)
    with torch.no_grad():
        model.weight.copy_(torch.from_numpy(contract.WEIGHTS.T))
        model.bias.copy_(torch.from_numpy(contract.BIAS))
    return model


def loader_of(job: Job, labels: Any, sampler: Any = None) -> DataLoader[Any]:
    generator = None if job.shuffle is None else torch.Generator().manual_seed(job.shuffle)
    return DataLoader(
        TensorDataset(torch.from_numpy(contract.X), torch.from_numpy(labels)),
        batch_size=job.batch,
        shuffle=None if sampler else job.shuffle is not None,
        sampler=sampler,
        generator=generator,
        num_workers=job.workers,
        persistent_workers=job.workers > 0,
    )


def save(path: Path, state: Any) -> None:
    torch.save(state, path.with_suffix(".tmp"))
    path.with_suffix(".tmp").replace(path)


def evaluate(model: nn.Module, job: Job) -> None:
    model.eval()
    with torch.no_grad():
        for x, _ in loader_of(job, (contract.Y + 1) % contract.CLASSES):
            model(x)
    model.train()


class LoaderDoor:
    """A DataLoader; of several processes each has a DistributedSampler."""

    without: Mapping[str, str] = {}

    def train(self, folder: Path, job: Job) -> None:
        torch.set_num_threads(1)
        several = "RANK" in os.environ
        if several:
            dist.init_process_group("gloo")
        model, state = network(), folder / "state.pt"
        sampler = DistributedSampler(contract.X, shuffle=job.shuffle is not None) if several else None  # type: ignore[arg-type]
        loader = tm.with_ids(loader_of(job, job.labels, sampler), job.ids)
        optimizer = torch.optim.SGD(model.parameters(), lr=job.rate)
        start, skip = 0, 0
        if job.again:
            kept = torch.load(state)
            start, skip = kept["at"]
            model.load_state_dict(kept["model"])
        with tm.Recorder(folder / "dynamics", contract.CLASSES, resume=job.again, on_error="warn") as recorder:
            recorder.rewind(start)
            for epoch in range(start, job.epochs):
                if sampler is not None:
                    sampler.set_epoch(epoch)
                for number, (ids, x, y) in enumerate(loader, 1):
                    if epoch == start and number <= skip:
                        continue
                    logits = model(x)
                    (cross_entropy(logits, y) / job.accumulate).backward()
                    recorder.update(ids, logits, y)
                    if number % job.accumulate == 0 or number == len(loader):
                        optimizer.step()
                        optimizer.zero_grad()
                    if job.saves == "batch":
                        save(state, {"model": model.state_dict(), "at": (epoch, number)})
                    job.after(epoch, number)
                recorder.end_epoch()
                if job.evaluate:
                    evaluate(model, job)
                if job.saves == "epoch":
                    save(state, {"model": model.state_dict(), "at": (epoch + 1, 0)})
        if several:
            dist.destroy_process_group()


class AccelerateDoor:
    """Accelerate's loop: its loader fetches one batch ahead, moves it, and repeats examples over processes."""

    without: Mapping[str, str] = {}

    def train(self, folder: Path, job: Job) -> None:
        from accelerate import Accelerator
        from accelerate.utils import ProjectConfiguration

        torch.set_num_threads(1)
        accelerator = Accelerator(
            cpu=True,
            gradient_accumulation_steps=job.accumulate,
            project_config=ProjectConfiguration(str(folder / "kept")),
        )
        model = network()
        optimizer = torch.optim.SGD(model.parameters(), lr=job.rate)
        model, optimizer, loader = accelerator.prepare(model, optimizer, loader_of(job, job.labels))
        loader = tm.with_ids(loader, job.ids)
        start, skip = 0, 0
        if job.again:
            accelerator.load_state(str(folder / "kept" / "last"))
            start, skip = torch.load(folder / "at.pt")
        with tm.Recorder(folder / "dynamics", contract.CLASSES, resume=job.again, on_error="warn") as recorder:
            recorder.rewind(start)
            for epoch in range(start, job.epochs):
                loader.set_epoch(epoch)
                skipped = skip if epoch == start else 0
                batches = accelerator.skip_first_batches(loader, skipped) if skipped else loader
                for number, (ids, x, y) in enumerate(batches, skipped + 1):
                    with accelerator.accumulate(model):
                        logits = model(x)
                        accelerator.backward(cross_entropy(logits, y))
                        recorder.update(ids, logits, y)
                        optimizer.step()
                        optimizer.zero_grad()
                    if job.saves == "batch":
                        self._save(accelerator, folder, (epoch, number))
                    job.after(epoch, number)
                recorder.end_epoch()
                if job.evaluate:
                    evaluate(accelerator.unwrap_model(model), job)
                if job.saves == "epoch":
                    self._save(accelerator, folder, (epoch + 1, 0))
        accelerator.end_training()
        accelerator.free_memory()

    def _save(self, accelerator: Any, folder: Path, at: tuple[int, int]) -> None:
        accelerator.save_state(str(folder / "kept" / "last"))
        save(folder / "at.pt", at)
