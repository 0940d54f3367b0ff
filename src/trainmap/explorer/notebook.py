"""The explorer in a notebook: the same script as a widget, whose questions are messages to the kernel."""

from __future__ import annotations

from typing import Any

from trainmap.errors import TrainmapError, cause
from trainmap.explorer.answers import answer
from trainmap.explorer.exploration import Exploration
from trainmap.explorer.page_script import script, style


def notebook_view(exploration: Exploration) -> Any:
    """The exploration as an anywidget: Jupyter, VS Code, Colab, marimo.

    Raises:
        TrainmapError: anywidget is missing.
    """
    try:
        import anywidget
    except ImportError as error:
        raise TrainmapError("the explorer in a notebook needs: pip install 'trainmap[explore]'") from error

    class ExplorerWidget(anywidget.AnyWidget):
        """The page in a cell."""

        _esm = script(start=False)
        _css = style()

    widget = ExplorerWidget()
    widget.on_msg(lambda _, message, buffers: answer_message(widget, exploration, message))
    return widget


def answer_message(widget: Any, exploration: Exploration, message: Any) -> None:
    """Answer one question of a widget: ``{number, path, body}`` -> ``{number, type, error}`` and the bytes."""
    number = message.get("number") if isinstance(message, dict) else None
    try:
        path, query = parsed_path(message)
        found = answer(exploration, path, query, message.get("body"))
    except (TrainmapError, KeyError, AttributeError) as error:
        widget.send({"number": number, "error": cause(error)})
        return
    widget.send({"number": number, "type": found.type}, buffers=[found.content])


def parsed_path(message: Any) -> tuple[str, dict[str, str]]:
    """``find?text=a%20b`` -> find, {"text": "a b"}."""
    from urllib.parse import parse_qsl, unquote, urlsplit

    split = urlsplit(message["path"])
    return unquote(split.path), dict(parse_qsl(split.query))
