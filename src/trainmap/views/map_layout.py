"""Where the parts of a map's picture stand, by its width: a page, two columns of a paper, one column."""

from __future__ import annotations

from dataclasses import dataclass, replace

Box = tuple[float, float, float, float]  # left, bottom, width, height in inches


@dataclass(frozen=True)
class Layout:
    """All in inches of a picture that is ``width`` wide; one of another width is this one, larger or smaller.

    Attributes:
        main: the map; its margins stand above it and to its right, ``gap`` away and ``margin`` deep.
        legend: the panel of the colour; beneath the map where ``beneath``.
        callout: points of the names of regions.
        left: where the words above and below the map begin.
        letters: of a line of the small words.
        split: whether what is written beside an axis stands on two lines.
        brief: whether the words that explain the picture are left to its caption.
    """

    width: float
    height: float
    main: Box
    margin: float
    legend: Box
    left: float
    letters: int
    callout: float = 10
    gap: float = 0.07
    split: bool = False
    beneath: bool = False
    brief: bool = False

    def zoom(self, width_inches: float) -> float:
        """How much larger than this a picture of that width is."""
        return width_inches / self.width


PAGE = Layout(
    width=10.0,
    height=7.85,
    main=(0.82, 1.28, 5.75, 4.75),
    margin=0.85,
    legend=(8.15, 1.28, 1.1, 4.75),
    left=0.82,
    letters=170,
)
TWO_COLUMNS = Layout(  # 6.9 inches in most journals: text of 9 points, the smallest 7.7
    width=7.6,
    height=6.32,
    main=(0.95, 1.79, 3.6, 3.0),
    margin=0.6,
    legend=(5.9, 1.79, 0.85, 3.0),
    left=0.95,
    letters=104,
    split=True,
)
ONE_COLUMN = Layout(  # 3.35 inches: text of 8 points, the smallest 6.6
    width=4.3,
    height=5.72,
    main=(0.95, 2.12, 2.75, 2.3),
    margin=0.4,
    legend=(0.95, 0.86, 2.75, 0.36),
    left=0.2,
    letters=66,
    callout=8.5,
    gap=0.05,
    split=True,
    beneath=True,
    brief=True,
)
ROW = 0.17  # inches of a line of a legend of names


def layout_of(width_inches: float, names: int = 0) -> Layout:
    """The layout of a picture so wide, with a legend of so many names: beneath the map these take lines of two."""
    layout = PAGE if width_inches >= 8 else TWO_COLUMNS if width_inches >= 5 else ONE_COLUMN
    if not names:
        return layout
    left, bottom, across, up = layout.main
    start, low, wide, high = layout.legend
    if not layout.beneath:
        start = left + across + layout.gap + layout.margin + 0.2  # no numbers stand there
        return replace(layout, legend=(start, low, wide, high))
    more = max(0.0, ROW * -(-names // 2) - high)
    return replace(
        layout,
        height=layout.height + more,
        main=(left, bottom + more, across, up),
        legend=(layout.left, low, layout.width - 2 * layout.left, high + more),
    )
