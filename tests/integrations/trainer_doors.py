"""Trainers that own the loop: Transformers'."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import contract
import datasets
import torch
from contract import Job
from loop_doors import network
from torch import nn
from torch.nn.functional import cross_entropy
from transformers import Trainer, TrainerCallback, TrainingArguments

import trainmap as tm


class Network(nn.Module):
    """The network of every torch door, as a Trainer calls it."""

    config = None

    def __init__(self) -> None:
        super().__init__()
        self.linear = network()

    def forward(self, x: Any, labels: Any = None) -> Any:
        logits = self.linear(x)
        return {"logits": logits} | ({} if labels is None else {"loss": cross_entropy(logits, labels)})


class Stops(TrainerCallback):
    """Breaks a training off where its job says; a Trainer saves after ``on_step_end``."""

    def __init__(self, job: Job, steps: int) -> None:
        self.job, self.steps = job, steps

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.job.saves == "epoch":
            self._after(state)

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.job.saves == "batch":
            self._after(state)

    def _after(self, state: Any) -> None:
        epoch, step = divmod(state.global_step - 1, self.steps)
        self.job.after(epoch, step + 1)


def arguments(folder: Path, job: Job, **more: Any) -> dict[str, Any]:
    return {
        "output_dir": str(folder / "kept"),
        "num_train_epochs": job.epochs,
        "per_device_train_batch_size": job.batch,
        "gradient_accumulation_steps": job.accumulate,
        "learning_rate": job.rate,
        "lr_scheduler_type": "constant",
        "optim": "sgd",
        "max_grad_norm": 0.0,
        "save_strategy": "epoch" if job.saves == "epoch" else "steps",
        "save_steps": 1,
        "eval_strategy": "epoch" if job.evaluate else "no",
        "dataloader_num_workers": job.workers,
        "dataloader_persistent_workers": job.workers > 0,
        "dataloader_pin_memory": False,
        "report_to": "none",
        "logging_strategy": "no",
        "disable_tqdm": True,
        "use_cpu": True,
        "seed": job.shuffle or 0,
        "train_sampling_strategy": "sequential" if job.shuffle is None else "random",
        **more,
    }


def rows(labels: Any) -> datasets.Dataset:
    return datasets.Dataset.from_dict({"x": contract.X.tolist(), "labels": labels.tolist()})


class TrainerDoor:
    without: Mapping[str, str] = {}

    def train(self, folder: Path, job: Job) -> None:
        torch.set_num_threads(1)
        trainer = Trainer(
            Network(),
            TrainingArguments(**arguments(folder, job)),
            train_dataset=rows(job.labels),
            eval_dataset=tm.with_ids(rows((contract.Y + 1) % contract.CLASSES)) if job.evaluate else None,
            callbacks=[Stops(job, -(-contract.N // (job.batch * job.accumulate)))],
        )
        tm.attach(trainer, folder / "dynamics", classes=contract.CLASSES, ids=job.ids)
        trainer.train(resume_from_checkpoint=job.again)
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
