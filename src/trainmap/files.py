"""Writing files so that a kill at any moment leaves the old file or the new one, never half of one; finding them."""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from trainmap.errors import StoreError, TrainmapError, cause, short, shown
from trainmap.limits import check_room
from trainmap.temporary import new_file

JSON_MEMORY = 24
"""Bytes of memory that a byte of JSON may take: "[[],[],..." takes 21."""


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
        refuse_pipe(path, what)
        yield
    except TrainmapError:
        raise
    except FileNotFoundError as error:
        raise StoreError(f"there is no {what} at {error.filename or path}") from error
    except OSError as error:
        if error.errno is None:  # of a library that calls bytes which it does not understand so
            raise StoreError(f"{path} is not a {what} ({cause(error)}); {cure}") from error
        raise StoreError(f"{path} cannot be read: {cause(error)}") from error
    except MemoryError as error:
        raise StoreError(f"{path} asks for more memory than there is; it is damaged, or too large for here") from error
    except Exception as error:
        raise StoreError(f"{path} is not a {what} ({cause(error)}); {cure}") from error
    except BaseException as error:
        if type(error).__name__ == "PanicException":  # polars: a panic of Rust, no Exception
            raise StoreError(f"{path} is not a {what} ({cause(error)}); {cure}") from error
        raise


def refuse_pipe(path: str | os.PathLike[str], what: str) -> None:
    """Refuse a pipe, a socket or a device: reading one never ends, or waits for a writer that never comes."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return  # whoever opens it says so
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise StoreError(f"{path} is not a {what}: it is a pipe, a socket or a device; give a file")


def read_bytes(path: str | os.PathLike[str], what: str = "file", cure: str = "restore it from a copy") -> bytes:
    """A file that fits in memory, whole. Raises StoreError."""
    with reading(path, what, cure):
        check_room(path, os.stat(path).st_size)
        return Path(path).read_bytes()


def read_text(path: str | os.PathLike[str], what: str = "file", cure: str = "restore it from a copy") -> str:
    """A text file in UTF-8, with or without a byte order mark. Raises StoreError."""
    with reading(path, what, cure):
        return read_bytes(path, what, cure).decode("utf-8-sig")


def read_json(path: str | os.PathLike[str], what: str = "file", cure: str = "restore it from a copy") -> Any:
    """The value of a JSON file; see ``parse_json``.

    Raises:
        StoreError: no such file, not JSON, or more of it than fits in memory.
    """
    with reading(path, what, cure):
        check_room(path, JSON_MEMORY * os.stat(path).st_size)
        return parse_json(read_text(path, what, cure))


def parse_json(text: str) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: not JSON, a key twice in one object, or an integer of more than 4,300 digits.
        RecursionError: nested more deeply than Python goes.
    """
    return json.loads(text, object_pairs_hook=distinct)


def distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of a JSON text; of a key that stands there twice nobody knows which one counts."""
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        again = next(name for name, _ in pairs if name in seen or seen.add(name))
        raise ValueError(f"the key {shown(again)} stands twice in one object")
    return found


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
    except ValueError as error:  # a NUL in the path, half a character
        if isinstance(error, TrainmapError) or not _unnameable(target):
            raise
        raise StoreError(f"{path} cannot be written: no file can have this name ({cause(error)})") from error
    except OSError as error:
        where = Path(error.filename or target)
        why = "Not a directory" if isinstance(error, FileExistsError) else error.strerror or error
        raise StoreError(
            f"{path} cannot be written: {why}" + (f" ({where})" if where.parent != target.parent else "")
        ) from error


def _unnameable(path: Path) -> bool:
    try:
        return b"\0" in os.fsencode(path)
    except UnicodeEncodeError:
        return True


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


def as_written(value: Any) -> str:
    """A value of a JSON file for a message, as the file has it."""
    return short(json.dumps(value))


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write ``value`` as indented JSON, keys in the order given; see ``writing``."""
    with writing(path) as handle:
        handle.write(as_json(value))


def as_json(value: Any) -> bytes:
    """``value`` as indented JSON, keys in the order given."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    try:
        return f"{text}\n".encode()
    except UnicodeEncodeError:  # half a character, from a file name that is no UTF-8: escaped, as JSON can say it
        return f"{json.dumps(value, indent=2)}\n".encode()


def is_file(path: str | os.PathLike[str]) -> bool:
    """Whether there is such a file; no for a name that no file can have (too long, with a NUL)."""
    try:
        return Path(path).is_file()
    except OSError:
        return False


def is_dir(path: str | os.PathLike[str]) -> bool:
    """Whether there is such a folder; no for a name that none can have."""
    try:
        return Path(path).is_dir()
    except OSError:
        return False


def there(path: str | os.PathLike[str]) -> bool:
    """Whether there is such a file or folder; no for a name that none can have."""
    return is_file(path) or is_dir(path)


def as_it_stands_or_under(root: Path, name: str) -> Path:
    """Where a file or folder that a user named lies: the path ``name``, or ``root/name`` where that alone is there."""
    path = Path(name)
    return root / name if not there(path) and there(root / name) else path
