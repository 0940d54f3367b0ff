"""The run that most tests record."""

from __future__ import annotations

import numpy as np
import pytest

from recorded import Run


@pytest.fixture
def run() -> Run:
    generator = np.random.default_rng(11)
    return Run(generator.permutation(40) * 3 + 100, generator.integers(0, 4, 40), 4)


@pytest.fixture(autouse=True)
def _one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever starts the tests must not look like a distributed run."""
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
