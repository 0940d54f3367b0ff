"""The five minutes: every snippet of docs/quickstart.md, one after another, and what it says is printed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parent.parent / "docs" / "quickstart.md"


def test_the_snippets_of_the_quick_start_run_in_order_and_print_what_stands_there(tmp_path: Path) -> None:
    code = "\n".join(re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    (said,) = re.findall(r"```\n(\d+ labels look wrong.*?)\n```", PAGE.read_text())
    assert said in done.stdout.splitlines()
    assert "examples; [" in done.stdout
    assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")
