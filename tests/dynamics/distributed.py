"""One of several training processes, started by torchrun from ``test_distributed.py``.

    torchrun --nproc-per-node 2 distributed.py FOLDER [KILLED]

A loop as people write it: DistributedSampler with shuffling and padding, one collective call in every step. The
"model" gives logits that depend on the id and the epoch alone. With KILLED, rank 1 is killed at the end of epoch 1,
when rank 0 has written it.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from recorded import Run
from trainmap.dynamics.manifest import read_manifest
from trainmap.dynamics.processes import part_folder
from trainmap.dynamics.recorder import Recorder

# 51 examples on two processes: one of them gets a copy.
RUN = Run(np.random.default_rng(2).permutation(51) + 1000, np.arange(51) % 5, 5, epochs=4, batch=8)


class Rows(Dataset[int]):
    def __len__(self) -> int:
        return len(RUN.ids)

    def __getitem__(self, row: int) -> int:
        return row


def main(path: Path, killed: bool) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    sampler = DistributedSampler(Rows(), shuffle=True, seed=1)
    loader = DataLoader(Rows(), batch_size=RUN.batch, sampler=sampler)
    with Recorder(path, RUN.classes, resume=True) as recorder:
        print(f"rank {rank} begins at epoch {recorder.epoch}\n", end="", flush=True)  # in one write
        for epoch in range(recorder.epoch, RUN.epochs):
            sampler.set_epoch(epoch)
            for rows in loader:
                dist.all_reduce(torch.ones(1))
                logits = torch.from_numpy(RUN.logits(epoch, rows.numpy())).requires_grad_()
                recorder.update(RUN.ids[rows.numpy()], logits, torch.from_numpy(RUN.labels)[rows])
            if killed and epoch == 1 and rank == 1:
                while len(read_manifest(part_folder(path, 0, 2)).epochs) < 2:
                    time.sleep(0.01)
                os.kill(os.getpid(), signal.SIGKILL)
            recorder.end_epoch()
    dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), "killed" in sys.argv[2:])
