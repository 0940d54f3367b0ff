"""A training of TRL in several processes, recorded: ``torchrun --nproc_per_node 2 language_job.py sft|grpo FOLDER``."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import torch
from test_attach_language import N, arguments, losses, told
from tiny_language import speaker, sums, tokenizer
from trl import GRPOConfig, GRPOTrainer, SFTConfig, SFTTrainer  # pyright: ignore[reportPrivateImportUsage]

import trainmap as tm


def long(prompts: Any, **_: Any) -> Any:
    return [float(len(prompt)) for prompt in prompts]


def main(what: str, folder: Path) -> None:
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    rows, model = sums(N), speaker()
    if what == "sft":
        (folder / "losses.txt").write_text(repr(losses(model, rows)))  # both write the same
        config = SFTConfig(**arguments(folder, max_length=None, ddp_backend="gloo"))
        trainer = SFTTrainer(model, config, train_dataset=told(rows), processing_class=tokenizer())
        tm.attach(trainer, folder / "sweeps", sweep=True)
    else:
        config = GRPOConfig(**arguments(folder, num_generations=2, max_completion_length=4, ddp_backend="gloo"))
        prompts = told([{"prompt": row["prompt"]} for row in rows])
        trainer = GRPOTrainer(model, long, args=config, train_dataset=prompts, processing_class=tokenizer())
    tm.attach(trainer, folder / "dynamics")
    trainer.train()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
