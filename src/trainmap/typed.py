"""Values of a file as the type that they must be: one check for every card, plan and result.

``of_type`` is for one plain value, ``as_type`` for whatever has parts.
"""

from __future__ import annotations

import json
import os
from functools import cache
from typing import Any

from trainmap.errors import StoreError, shown
from trainmap.files import as_written


def of_type(value: Any, kinds: type | tuple[type, ...], name: str) -> Any:
    """A value that was read from a file, when it is of this type; TypeError otherwise. True is no number."""
    if not isinstance(value, kinds) or isinstance(value, bool):
        raise TypeError(f"'{name}' cannot be {as_written(value)}")
    return value


def as_type(kind: Any, value: Any, path: str | os.PathLike[str], cure: str = "restore it from a copy") -> Any:
    """``value``, which was read from a JSON file, as ``kind``: a dataclass, a type, or anything that pydantic takes.

    Nothing is converted but what JSON has no form of: an object becomes the dataclass, a list a tuple. True is no
    number, 3.0 no integer, "3" neither.

    Raises:
        StoreError: says which part is of another type, what it must be, what it is.
    """
    from pydantic import ValidationError

    try:
        return _adapter(kind).validate_json(json.dumps(value), strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "it"
        said = first["msg"].replace("Input should be", "must be")
        raise StoreError(
            f"{path} was changed: it cannot be read ({shown(where)} {said[:1].lower()}{said[1:]}, got "
            f"{shown(first['input'])}); {cure}"
        ) from error


@cache
def _adapter(kind: Any) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)
