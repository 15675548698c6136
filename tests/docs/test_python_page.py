"""The Python blocks of docs/python.md run one after another in one interpreter, on the small dataset."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.api.conftest import shop, ws  # noqa: F401
from tests.jobs.tiny_dataset import CONFIG

ROOT = Path(__file__).resolve().parents[2]
BLOCKS = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs" / "python.md").read_text("utf-8"), re.M | re.S)


@pytest.mark.filterwarnings("ignore")
def test_the_blocks_run(ws, monkeypatch, capsys) -> None:  # noqa: F811
    """As they stand, but for training and tuning, which are cut short."""
    import llactr
    from llactr.api import comparing

    opened = llactr.OpenWorkspace
    short = {"max_epochs": 2, "min_steps": 0, "batch_size": 128}
    real_train, real_evaluate, real_finetune = opened.train, llactr.evaluate, opened.finetune
    monkeypatch.setattr(opened, "train", lambda self, config: real_train(self, {**config, "training": short}))
    monkeypatch.setattr(opened, "finetune", lambda self: real_finetune(self, CONFIG["semantics"]))
    monkeypatch.setattr(
        comparing, "evaluate", lambda ws, config: real_evaluate(ws, {**config, "training": {"fm": short}})
    )
    Path("shop.yaml").write_text(Path("tiny.yaml").read_text("utf-8"), encoding="utf-8")
    names: dict[str, object] = {}
    for block in BLOCKS:
        exec(compile(block, "docs/python.md", "exec"), names)  # noqa: S102
    said = capsys.readouterr().out
    assert "('dish', 'person', 'device')" in said
    assert Path("gain.png").stat().st_size > 1000
    assert len(names["frame"]) > 0
    assert len(names["mine"].score(names["test"])) == 78
