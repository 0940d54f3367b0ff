"""The picture of which score finds which kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trainmap.errors import TrainmapError
from trainmap.views.kind_plot import plot_kinds

AUROC = np.array([[0.5, 0.9], [np.nan, 0.1]])
SCORES, KINDS = ["random", "loss $x$"], ["overlap", "outlier"]


def drawn(auroc: np.ndarray, path: Path, **how: Any) -> Path:
    return plot_kinds(SCORES, KINDS, auroc, path, title="t", **how)


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_equal_numbers_are_equal_pictures(tmp_path: Path, suffix: str) -> None:
    one, same = (drawn(AUROC, tmp_path / f"{name}{suffix}").read_bytes() for name in "ab")
    assert one == same
    assert one != drawn(1 - AUROC, tmp_path / f"c{suffix}").read_bytes()
    assert one != drawn(AUROC, tmp_path / f"d{suffix}", shown=AUROC > 0.6).read_bytes()


@pytest.mark.parametrize(
    ("auroc", "name", "message"),
    [
        (AUROC, "a.gif", "a picture must be .png, .svg, .pdf, got 'a.gif'"),
        (AUROC[:1], "a.png", r"auroc and shown must be \(2, 2\), a line for each score"),
        (AUROC + 0.2, "a.png", "auroc must be 0 to 1, got 0.3 to 1.1"),
    ],
)
def test_what_cannot_be_drawn_is_refused(tmp_path: Path, auroc: np.ndarray, name: str, message: str) -> None:
    with pytest.raises(TrainmapError, match=message):
        drawn(auroc, tmp_path / name)
    assert not list(tmp_path.iterdir())
