"""Arrays in files: .npz and .npy, with the sizes that they declare checked before memory is taken."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from trainmap.errors import StoreError, some
from trainmap.files import reading
from trainmap.limits import check_room

MAGIC = b"\x93NUMPY"

Array = NDArray[Any]


def read_npz(
    path: str | os.PathLike[str], names: Sequence[str], optional: Sequence[str] = (), what: str = "readable .npz file"
) -> dict[str, Array]:
    """The arrays of these names; others are not looked at.

    Args:
        names: must be there.
        optional: are taken where they are there.

    Raises:
        StoreError: no such file, not an .npz file of plain numbers or text, a name is missing, an array that is
            larger than a file may be (``limits.check_room``) or than its file says.
    """
    with reading(path, what), open(path, "rb") as handle:
        if handle.read(len(MAGIC)) == MAGIC:
            raise StoreError(f"{path} is not a {what}: it is one array (.npy); save it by numpy.savez under its name")
        file = zipfile.ZipFile(handle)
        held = {info.filename.removesuffix(".npy"): info for info in file.infolist()}
        if len(held) < len(file.infolist()):
            raise StoreError(f"{path} holds an array twice; write it again")
        if lacking := [name for name in names if name not in held]:
            raise StoreError(
                f"{path} must hold {', '.join(names)}; missing: {', '.join(lacking)}; it has {some(held, 9)}"
            )
        found = {}
        for name in (*names, *(name for name in optional if name in held)):
            check_room(path, held[name].file_size, held[name].compress_size)
            with file.open(held[name]) as member:
                found[name] = _read_member(path, name, member, held[name].file_size)
        check_room(path, sum(array.nbytes for array in found.values()))
        return found


def _read_member(path: str | os.PathLike[str], name: str, member: Any, size: int) -> Array:
    """One array: its header says exactly the bytes that the archive says."""
    shape, fortran, dtype = _header(member)
    if dtype.hasobject:
        raise StoreError(f"{path}: '{name}' holds Python objects; arrays of numbers or text are read alone")
    count = _count(shape)
    if member.tell() + count * dtype.itemsize != size:
        raise StoreError(
            f"{path}: '{name}' says {shape} of {dtype}, which is not what its {size} bytes hold; is it torn?"
        )
    data = member.read()  # to the end, where its checksum is compared
    return np.frombuffer(data, dtype, count).reshape(shape, order="F" if fortran else "C").copy()


def read_npy(path: str | os.PathLike[str], what: str = ".npy file", cure: str = "make it again") -> Array:
    """The array of an .npy file as a read-only memory map.

    Raises:
        StoreError: no such file, or not one array of plain numbers or text, whole.
    """
    with reading(path, what, cure):
        with open(path, "rb") as handle:
            shape, _, dtype = _header(handle)
            size = Path(path).stat().st_size
            if dtype.hasobject or handle.tell() + _count(shape) * dtype.itemsize != size:
                raise StoreError(
                    f"{path} says {shape} of {dtype}, which is not what its {size} bytes hold; is it torn? {cure}"
                )
            if not _count(shape) * dtype.itemsize:
                return np.zeros(shape, dtype)
        return np.load(path, mmap_mode="r", allow_pickle=False)


def _header(handle: BinaryIO | Any) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """(shape, whether in Fortran's order, dtype); the handle is at the values afterwards."""
    version = np.lib.format.read_magic(handle)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(handle)
    if version == (2, 0):
        return np.lib.format.read_array_header_2_0(handle)
    raise ValueError(f"an array of format {version[0]}.{version[1]}, which holds no plain numbers or text")


def _count(shape: tuple[int, ...]) -> int:
    """In Python's integers: numpy's overflow. A negative side is no shape."""
    count = 1
    for side in shape:
        if side < 0:
            raise ValueError(f"a negative side in {shape}")
        count *= side
    return count
