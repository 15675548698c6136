"""The examples of docs/extending.md run as they stand, and print what they say."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SECTIONS = re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", (ROOT / "docs" / "extending.md").read_text("utf-8"), re.M | re.S)
EXAMPLES = {title: code for title, text in SECTIONS for code in re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)}


def test_each_thing_that_can_be_added_has_an_example() -> None:
    assert set(EXAMPLES) == {
        "A backbone", "An encoder kind", "A dataset recipe", "An online reader", "A rival",
        "An arm, a placebo",
    }  # fmt: skip
    assert EXAMPLES.keys() == dict(SECTIONS).keys(), "a section without an example"


@pytest.mark.parametrize("title", EXAMPLES)
def test_the_example_prints_what_it_says(title: str, tmp_path: Path) -> None:
    script = tmp_path / "example.py"
    script.write_text(EXAMPLES[title], encoding="utf-8")
    said = EXAMPLES[title].rstrip().rsplit("  # ", 1)[1]
    found = subprocess.run(
        [sys.executable, "-W", "ignore", str(script)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr
    assert found.stdout.strip() == said
