from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from trainmap.compression.measure import Measured
from trainmap.errors import TrainmapError
from trainmap.evaluation.flips import Flips, Predictions, flips
from trainmap.views.forgets import of_flips, of_measured, plot_flips


def made(baseline: bool = True, regions: bool = True) -> Flips:
    draws = np.random.default_rng(0)
    ids, labels = np.arange(400), draws.integers(0, 3, 400)

    def side(share: float) -> Predictions:
        return Predictions.of(ids, labels, np.where(draws.random(400) < share, (labels + 1) % 3, labels))

    names = ["easy-to-learn", "ambiguous", "hard-to-learn", None]
    groups = {"region": {i: names[i % 4] for i in range(400)}} if regions else {}
    return flips(side(0.05), side(0.15), baseline=side(0.06) if baseline else None, groups=groups)


def shown(view: object) -> str:
    console = Console(width=160, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(view)
    console.file.close()
    return console.export_text()


def test_the_table_has_every_group_and_the_verdict() -> None:
    text = shown(of_flips(made()))
    for word in ("easy-to-learn", "ambiguous", "hard-to-learn", "none", "400", "more than another seed"):
        assert word in text
    assert "beyond it" not in shown(of_flips(made(baseline=False)))


def test_the_table_of_compressed_networks_fits_a_terminal_of_eighty() -> None:
    small = Measured(
        "b",
        "50% of channels out, magnitude, 2 epochs on 15,840",
        4038,
        4038,
        320_000,
        1,
        24_300,
        17_800,
        1e-5,
        1.25,
        0.8887,
        0.88,
        0.9315,
    )
    rows = [replace(small, method="teacher", parameters=21_282_122, speed_up=1.0), small]
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(of_measured(rows))
    text = console.export_text()
    assert "…" not in text
    for cell in ("21,282,122", "4,038", "24.3", "88.87 %", "93.15 %", "1.25"):
        assert cell in text


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_equal_input_gives_an_equal_picture(suffix: str, tmp_path: Path) -> None:
    one, same = (plot_flips(made(), tmp_path / f"{name}{suffix}").read_bytes() for name in "ab")
    assert one == same
    assert one != plot_flips(made(), tmp_path / f"c{suffix}", grouping="class").read_bytes()


def test_a_picture_needs_no_baseline_and_names_what_is_missing(tmp_path: Path) -> None:
    assert plot_flips(made(baseline=False, regions=False), tmp_path / "deep" / "a.png", "class").exists()
    with pytest.raises(TrainmapError, match=r"unknown grouping 'region'"):
        plot_flips(made(regions=False), tmp_path / "a.png")
    with pytest.raises(TrainmapError, match="a picture must be"):
        plot_flips(made(), tmp_path / "a.gif")
