"""Files of tensors, as ``torch.save`` writes them: read without running what is in them, their sizes checked first."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import torch

from trainmap.errors import StoreError
from trainmap.files import reading
from trainmap.limits import check_room


def read_tensors(path: str | Path, what: str, cure: str) -> Any:
    """The value of a file that ``torch.save`` wrote, on the CPU.

    Args:
        what: the file is, for the message.
        cure: what to do.

    Raises:
        StoreError: no such file, not one of ``torch.save``, or one that asks for more memory than a file may have.
    """
    with reading(path, what, cure):
        if not Path(path).exists():
            raise StoreError(f"{path} does not exist: there is no {what}")
        if not zipfile.is_zipfile(path):  # what torch.save writes; without this, torch tries its format of old
            raise StoreError(f"{path} is not a {what}; {cure}")
        with zipfile.ZipFile(path) as file:
            members = file.infolist()
            if packed := [info.filename for info in members if info.compress_type != zipfile.ZIP_STORED]:
                raise StoreError(f"{path} is not a {what}: '{packed[0]}' in it is compressed; {cure}")
            check_room(path, sum(info.file_size for info in members))
        return torch.load(path, map_location="cpu", weights_only=True)
