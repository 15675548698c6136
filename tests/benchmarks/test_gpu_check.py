from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from benchmarks.gpu_check import __main__ as command
from benchmarks.gpu_check.bundle import collect
from benchmarks.gpu_check.check import Aim, Found, LeftOutError, Setting, run_checks
from benchmarks.gpu_check.traffic import scoring_bytes, search_bytes, training_bytes

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def setting(tmp_path: Path) -> Setting:
    return Setting(torch.device("cpu"), True, tmp_path, None, 1e9)


def test_a_check_that_breaks_is_told_and_the_others_go_on(setting: Setting) -> None:
    def breaks(_: Setting) -> Found:
        raise RuntimeError("CUDA error:\n an illegal memory access")

    def lacks(_: Setting) -> Found:
        raise LeftOutError("no model")

    def differs(given: Setting) -> Found:
        assert given.folder.is_dir()
        return Found(False, "other bits", {"gap": 2.0})

    ended = run_checks(
        {"a": breaks, "b": lacks, "c": differs, "d": lambda _: Found(True, "fine")},
        setting,
        seconds=60,
        shown=lambda _: None,
    )
    assert [(one.name, one.state) for one in ended] == [
        ("a", "failed"), ("b", "left out"), ("c", "failed"), ("d", "passed"),
    ]  # fmt: skip
    assert ended[0].said == "RuntimeError: CUDA error: an illegal memory access"
    assert ended[2].figures == {"gap": 2.0}


def test_a_check_is_left_out_when_the_time_is_over(setting: Setting) -> None:
    (ended,) = run_checks({"a": lambda _: Found(True, "fine")}, setting, seconds=-1, shown=lambda _: None)
    assert ended.state == "left out"


@pytest.mark.parametrize("found", [1.0, 9.0])
def test_an_aim_is_never_reached_on_a_cpu(found: float) -> None:
    aim = Aim("rows", 5.0, found)
    assert aim.state(on_gpu=False) == "no card"
    assert aim.state(on_gpu=True) == ("reached" if found == 9.0 else "not reached")


def test_bytes_are_those_counted_by_hand() -> None:
    # ids 2*3*4; 5 rows of (4+1)*4 bytes, 6 times; 2*3 embeddings of 20 bytes, 4 times; 2*(8+1) outputs, 4 times;
    # 12*8 + 8*1 weights: twice, and 7 times in fp32
    sizes = {"fields": 3, "dim": 4, "different_rows": 5, "linear": True, "layers": (8, 1)}
    assert training_bytes(2, **sizes, bf16=False) == 24 + 600 + 480 + 4 * 18 * 4 + 9 * 104 * 4
    assert training_bytes(2, **sizes, bf16=True) == 24 + 600 + 480 + 4 * 18 * 2 + 2 * 104 * 2 + 7 * 104 * 4
    assert scoring_bytes(2, **sizes) == 24 + 100 + 2 * 120 + 2 * 18 * 4 + 104 * 4
    assert search_bytes(1000, dim=8, queries=30, queries_at_once=20) == 2 * 1000 * 8 * 4


def test_one_failed_check_makes_the_exit_code_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def chosen() -> dict[str, object]:
        return {
            "good": lambda _: Found(True, "same [bits]", {"rows": 3}, (Aim("rows a second", 5.0, 9.0),)),
            "bad": lambda _: Found(False, "other bits"),
        }

    monkeypatch.setattr(command, "checks", chosen)
    file = tmp_path / "found.json"
    assert command.main(["--device", "cpu", "--small", "--json", str(file)]) == 1
    told = json.loads(file.read_text())
    assert not told["passed"]
    assert [one["state"] for one in told["checks"]] == ["passed", "failed"]
    assert told["checks"][0]["aims"] == [{"name": "rows a second", "wanted": 5.0, "found": 9.0, "state": "no card"}]
    shown = capsys.readouterr().out
    for word in ("same [bits]", "failed", "no aim of a CPU", "nothing of a GPU"):
        assert word in shown
    assert command.main(["--device", "cpu", "--only", "good"]) == 0


def test_a_bundle_holds_what_its_script_names(tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    asked: list[Sequence[str]] = []
    collect(tmp_path / "bundle", run=asked.append, model_folder=lambda _: model)
    own, others = asked
    assert own[-1] == str(ROOT)
    assert "--no-deps" in own
    assert others[-1] == f"{ROOT}[gpu,encode]"
    assert str(ROOT / "constraints.txt") in others
    assert all(str(tmp_path / "bundle" / "wheels") in one for one in asked)
    for name in ("models/minilm/config.json", "models/smollm2/config.json", "benchmarks/click_log.py"):
        assert (tmp_path / "bundle" / name).is_file()
    script = tmp_path / "bundle" / "run.sh"
    assert os.access(script, os.X_OK)
    assert subprocess.run(["sh", "-n", script], check=False).returncode == 0
    told = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu_check", "--help"],
        cwd=tmp_path / "bundle", capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "--models" in told.stdout


@pytest.mark.slow
def test_every_check_passes_on_the_cpu(tmp_path: Path) -> None:
    file = tmp_path / "found.json"
    environment = os.environ | {"OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu_check", "--device", "cpu", "--small", "--minutes", "60", "--json", file],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    told = json.loads(file.read_text())
    assert {one["name"]: one["state"] for one in told["checks"]} == dict.fromkeys(command.checks(), "passed")
    figures = {one["name"]: one["figures"] for one in told["checks"]}
    for backbone in ("DeepFM", "FinalMLP"):
        trained = figures[f"train {backbone}"]
        assert trained["auc_fp32"] == trained["auc_cpu"]
        assert 0 < abs(trained["auc_bf16"] - trained["auc_cpu"]) <= 0.001
        assert trained["auc_cpu"] > 0.55
        for one in figures[f"rate of {backbone}"].values():
            assert one["rows_per_second"] > 0
            assert one["share_of_bandwidth"] > 0
    for one in figures["exact resume"].values():
        assert one["resumed_equals_whole"]
        assert one["two_whole_runs_are_equal"]
        assert one["taken_up_at_step"] > 6
    assert figures["out of core"]["batches_unchanged"]
    assert figures["FAISS"]["where"] == "cpu"
    assert figures["FAISS, many vectors"]["index"] == "ivf"
    assert {"name", "torch", "cuda", "driver", "python"} <= set(told["card"])
    assert told["copy_bytes_per_second"] > 0
    states = {aim["state"] for one in told["checks"] for aim in one["aims"]}
    assert states == {"no card"}
