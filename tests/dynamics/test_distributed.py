"""Two real processes under torchrun: their joined dynamics are those of a single one, also when one is killed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from distributed import RUN

from recorded import same
from trainmap.dynamics.manifest import read_manifest
from trainmap.dynamics.processes import part_folder
from trainmap.dynamics.store import Dynamics
from trainmap.errors import StoreError


def torchrun(*arguments: str, fails: bool = False) -> list[str]:
    """The lines that two processes printed, sorted."""
    script = Path(__file__).with_name("distributed.py")
    started = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    with subprocess.Popen(
        [*started, str(script), *arguments],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as running:
        try:
            printed, complaints = running.communicate(timeout=100)
        except subprocess.TimeoutExpired:
            os.killpg(running.pid, signal.SIGTERM)  # torchrun ends its processes, which have sessions of their own
            raise
    assert bool(running.returncode) == fails, complaints
    return sorted(printed.splitlines())


def test_two_processes_of_which_one_is_killed_record_what_a_single_one_does(tmp_path: Path) -> None:
    path = tmp_path / "d"
    assert torchrun(str(path), "killed", fails=True) == [f"rank {rank} begins at epoch 0" for rank in range(2)]
    assert [len(read_manifest(part_folder(path, rank, 2)).epochs) for rank in range(2)] == [2, 1]
    same(Dynamics.open(path), RUN.but(epochs=1).block())

    assert torchrun(str(path)) == [f"rank {rank} begins at epoch 1" for rank in range(2)]
    dynamics = Dynamics.open(path)
    assert dynamics.examples == 51
    same(dynamics, RUN.block())
    single = RUN.record(tmp_path / "single", rank=0, world_size=1)
    for entry in single.manifest.epochs:
        assert (path / entry.file).read_bytes() == (single.path / entry.file).read_bytes()

    shutil.rmtree(part_folder(path, 1, 2))
    with pytest.raises(StoreError, match=r"1 of 2 parts are lost \(rank 1\)"):
        Dynamics.open(path)
