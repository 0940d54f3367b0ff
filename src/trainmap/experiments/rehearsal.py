"""What would fail after the teacher was trained, found when planning."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trainmap.errors import TrainmapError
from trainmap.selection.requests import Request, check_choice

if TYPE_CHECKING:
    from trainmap.experiments.rows import Draw


def rehearse(draw: Draw, epochs: int, classes: tuple[int, ...]) -> None:
    """Refuse a row of a map whose selection is bound to fail.

    Args:
        epochs: of the map.
        classes: how many examples each class has.

    Raises:
        TrainmapError: too few epochs for what is read, options that the strategy refuses, too few examples left.
    """
    if "map" not in draw.kind:
        return
    examples, left = sum(classes), None
    if draw.without is not None:
        left = examples - round(draw.without["audit"] * examples)
        if draw.count > left:
            raise TrainmapError(
                f"'{draw.name}' takes {draw.count} examples, and of {examples} {left} are left after the cut; cut "
                "fewer or take fewer"
            )
    balance: Any = draw.balance
    if draw.strategy is None:
        check_choice(Request.of_spec(draw.spec), None, epochs, classes, balance, left)
        return
    request = Request.of_strategy(draw.strategy["name"], draw.strategy["options"])
    check_choice(request, draw.count, epochs, classes, balance, left, draw.strategy.get("clusters"))
