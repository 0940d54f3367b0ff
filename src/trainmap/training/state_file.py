"""What torch.save wrote, read back as tensors and plain values alone, its sizes and its checksums checked first."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import torch

from trainmap.checksums import check_zip
from trainmap.errors import StoreError
from trainmap.files import reading
from trainmap.limits import check_room


def load_state(path: str | Path, what: str, cure: str = "restore it from a copy") -> Any:
    """The content of a file of ``torch.save``, on the CPU: no code runs, and every byte is compared with the checksums
    in it (torch writes them and does not read them).

    Raises:
        StoreError: not there, another kind of file, damaged, or one that asks for more memory than a file may have.
    """
    file = Path(path)
    with reading(file, what, cure):
        file.stat()  # of a file that is not there nothing else is said
        if not zipfile.is_zipfile(file):  # what torch.save writes; without this, torch tries its format of old
            raise StoreError(f"{file} is not a {what}: no zip archive; {cure}")
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
        if packed := [info.filename for info in members if info.compress_type != zipfile.ZIP_STORED]:
            raise StoreError(f"{file} is not a {what}: '{packed[0]}' in it is compressed; {cure}")
        check_room(file, sum(info.file_size for info in members))
    check_zip(file, what, cure)
    with reading(file, what, cure):
        return torch.load(file, map_location="cpu", weights_only=True)
