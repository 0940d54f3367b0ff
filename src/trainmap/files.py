"""Writing files so that a kill at any moment leaves the old file or the new one, never half of one; finding them."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from trainmap.errors import StoreError, TrainmapError, cause
from trainmap.temporary import new_file


@contextmanager
def reading(path: str | os.PathLike[str], what: str = "file", cure: str = "restore it from a copy") -> Iterator[None]:
    """The one door through which a file is read: whatever a foreign library raises on its bytes is a mistake in one
    line, with the path. Errors of our own pass as they are.

    Args:
        what: what should be there, for the message: "map", "recording".
        cure: what to do.

    Raises:
        StoreError: the file is not there, cannot be read, or is not what it must be.
    """
    try:
        yield
    except TrainmapError:
        raise
    except FileNotFoundError as error:
        raise StoreError(f"there is no {what} at {error.filename or path}") from error
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {cause(error)}") from error
    except MemoryError as error:
        raise StoreError(f"{path} asks for more memory than there is; it is damaged, or too large for here") from error
    except Exception as error:
        raise StoreError(f"{path} is not a {what} that can be read ({cause(error)}); {cure}") from error
    except BaseException as error:
        if type(error).__name__ == "PanicException":  # polars: a panic of Rust, no Exception
            raise StoreError(f"{path} is not a {what} that can be read ({cause(error)}); {cure}") from error
        raise


@contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """``write_atomically`` for a file that a user named: its folder is made, and what fails is a mistake in one line.

    Raises:
        StoreError: the file or its folder cannot be written.
    """
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with write_atomically(target) as handle:
            yield handle
    except OSError as error:
        where = Path(error.filename or target)
        why = "Not a directory" if isinstance(error, FileExistsError) else error.strerror or error
        raise StoreError(
            f"{path} cannot be written: {why}" + (f" ({where})" if where.parent != target.parent else "")
        ) from error


@contextmanager
def write_atomically(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a temporary file beside ``path``; at a clean exit it is flushed to disk and renamed to ``path``.

    An error (a full disk, an exception in the body) removes the temporary file and leaves ``path`` as it was. Where
    ``path`` is a link, the file takes the link's place: what the link leads to is never written.
    """
    target = Path(path)
    descriptor, temporary = new_file(target)
    try:
        with open(descriptor, "wb") as handle:
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(target.parent)


def sync_folder(folder: Path) -> None:
    """Make a rename in ``folder`` durable, where that can be asked for (not on Windows, nor on every network disk)."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def of_type(value: Any, kinds: type | tuple[type, ...], name: str) -> Any:
    """A value that was read from a file, when it is of this type; TypeError otherwise. True is no number."""
    if not isinstance(value, kinds) or isinstance(value, bool):
        raise TypeError(f"'{name}' cannot be {json.dumps(value)}")
    return value


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write ``value`` as indented JSON, atomically, keys in the order given."""
    with write_atomically(path) as handle:
        handle.write(as_json(value))


def as_json(value: Any) -> bytes:
    """``value`` as indented JSON, keys in the order given."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    try:
        return f"{text}\n".encode()
    except UnicodeEncodeError:  # half a character, from a file name that is no UTF-8: escaped, as JSON can say it
        return f"{json.dumps(value, indent=2)}\n".encode()


def as_it_stands_or_under(root: Path, name: str) -> Path:
    """Where a file or folder that a user named lies: the path ``name``, or ``root/name`` where that alone is there."""
    path = Path(name)
    return root / name if not path.exists() and (root / name).exists() else path
