"""Damaged inputs for every reader; docs/reliability.md has the table of a whole run."""

from __future__ import annotations

import os
import sys

import pytest

from fuzz.campaign import Tally, campaign
from fuzz.readers import READERS

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits of memory and peaks are read from /proc")


def faults(found: dict[str, Tally]) -> list[str]:
    return [f"{name}: {fault}" for name, one in found.items() for fault in one.faults]


@pytest.mark.timeout(600)
def test_no_reader_lets_a_foreign_error_a_crash_or_a_hang_through() -> None:
    found = campaign(2000, jobs=1)
    assert faults(found) == []
    assert set(found) == set(READERS)
    assert all(one.refused for one in found.values())


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_no_reader_does_so_for_a_hundred_thousand_inputs() -> None:
    inputs = int(os.environ.get("TRAINMAP_FUZZ_INPUTS", "100000"))
    found = campaign(inputs, first=10_000)  # others than the small run takes
    assert faults(found) == []
    assert max(one.peak for one in found.values()) < 1200  # MB; a file may take 512 of them there
