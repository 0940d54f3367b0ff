"""Verify passes over Parquet files that trainmap did not write."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from trainmap.errors import StoreError
from trainmap.experiments.verifying import verify


def test_a_users_own_parquet_is_passed_over_and_not_called_damaged(tmp_path: Path) -> None:
    pl.DataFrame({"a": [[1, 2], [3]], "b": [{"x": 1}, {"x": 2}]}).write_parquet(tmp_path / "mine.parquet")
    pl.DataFrame({"id": [2, 1], "label": [0, 1]}).write_parquet(tmp_path / "plain.parquet")
    assert [(one.damage, one.known) for one in verify(tmp_path)] == [(None, False)] * 2
    with pytest.raises(StoreError, match="has no checksum"):
        list(verify(tmp_path / "mine.parquet"))
