"""What torch.save wrote, read back as tensors and plain values alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from trainmap.checksums import check_zip
from trainmap.files import reading


def load_state(path: Path, what: str, cure: str = "restore it from a copy") -> Any:
    """The content of a file of ``torch.save``: no code runs, and every byte is compared with the checksums in it
    (torch writes them and does not read them).

    Raises:
        StoreError: not there, another kind of file, or damaged.
    """
    check_zip(path, what, cure)
    with reading(path, what, cure):
        return torch.load(path, map_location="cpu", weights_only=True)
