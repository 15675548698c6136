"""A user is forgotten: no byte of the workspace and the online store names them, and all else works as before."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from typer.testing import CliRunner

from llactr.ctr import Bundle
from llactr.errors import DataError, InputError
from llactr.jobs.cli import app
from llactr.lifecycle.forgetting import users as forgetting
from llactr.lifecycle.forgetting.receipts import Receipt, receipts
from llactr.lifecycle.forgetting.users import forget_users, read_keys
from llactr.manifest import read_manifest
from llactr.store import training_rows
from llactr.store.ingested import dataset_spec
from llactr.transforms import OOV
from llactr.workspace import Workspace
from tests.jobs.tiny_dataset import CONFIG, SPEC, write_dataset
from tests.lifecycle.forgetting.bytes import places_of

KEY, OTHER = "zq-forget-me-77", "p4"
TEXTS = {"dish": ["tags"], "person": ["job"]}


def command(*arguments: object) -> Any:
    """A command's JSON."""
    answer = CliRunner().invoke(app, [*map(str, arguments), "--json"])
    assert answer.exit_code == 0, answer.output + answer.stderr
    return json.loads(answer.stdout)


@dataclass(frozen=True)
class Trained:
    workspace: Workspace
    spec: Path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A workspace in which all has run on a dataset in which one user has a name that is nowhere else."""
    folder = tmp_path_factory.mktemp("forgetting")
    fields = [
        {**one, "value_text": TEXTS[one["name"]]} if one["name"] in TEXTS else one for one in SPEC["fields"]
    ]  # fmt: skip
    spec = write_dataset(folder, fields=fields)
    for name in ("events.csv", "people.csv"):
        text = (folder / name).read_text(encoding="utf-8")
        (folder / name).write_text(text.replace("\np3,", f"\n{KEY},"), encoding="utf-8")
    evaluate = CONFIG["evaluate"] | {"seeds": 1, "arms": ["plain", "values"]}
    train = CONFIG["train"] | {"arm": "both"}
    config = folder / "run.yaml"
    config.write_text(yaml.safe_dump(CONFIG | {"values": {"tune": False}, "evaluate": evaluate, "train": train}))
    command("run", spec, "--config", config, "--workspace", folder / "ws")
    workspace = Workspace.at(folder / "ws")
    served = workspace.offline_table("tiny", "served")
    served.mkdir(parents=True)
    table = pa.table({"person": [KEY, OTHER, KEY], "served_score": [0.1, 0.2, 0.3]})
    pq.write_table(table, served / "a.parquet")
    pq.write_table(table.slice(0, 1), served / "b.parquet")
    with (workspace.root / "llactr.log").open("a") as log:
        log.write(f"2026-01-01 00:00:00,000 4711 WARNING llactr: rows are gone, such as {KEY!r}\n")
    return Trained(workspace, spec)


@pytest.fixture
def workspace(trained: Trained, tmp_path: Path) -> Workspace:
    """A copy of it that a test may change."""
    shutil.copytree(trained.workspace.root, tmp_path / "ws")
    command("apply", "--workspace", tmp_path / "ws")
    return Workspace.at(tmp_path / "ws")


def bundle_of(workspace: Workspace) -> Bundle:
    return Bundle.load(workspace.current("tiny")["train"])


def test_no_byte_is_left_and_the_receipt_says_what_went(trained: Trained, workspace: Workspace) -> None:
    spec = dataset_spec(workspace, "tiny")
    held = places_of(KEY, workspace.root)
    assert len(held) >= 8, "tables, store, values, training set, bundle, logs, report"
    bundle, rows = bundle_of(workspace), training_rows(workspace, spec)
    before, of_user = bundle.score(rows), np.array(rows["person"].to_pylist()) == KEY
    events = int(of_user.sum())
    dropped = (read_manifest(workspace.dataset("tiny")) or {})["summary"]["dropped"]
    receipt = command("forget", "--user", KEY, "--workspace", workspace.root)

    assert places_of(KEY, workspace.root) == []
    expected = {
        "events": events, "user": 1, "online tiny__user": 1, "value_vectors": 1, "online value_semantics": 1,
        "served log": 3, "command log": 1, "training_sets": 1, "evaluation_runs": 1, "values of bundles": 1,
    }  # fmt: skip
    assert expected.items() <= receipt["removed"].items()
    assert {name.split("/")[0] for name in receipt["had_seen"]} >= {"bundles", "training_sets", "adapters"}
    assert receipt["done"]
    assert KEY not in json.dumps(receipt)
    assert (receipt["salt"], receipt["digest"]) == ("", "")

    # Everybody else is scored as before, to the bit; the user like one who was never seen.
    after = bundle_of(workspace)
    assert np.array_equal(after.score(rows)[~of_user], before[~of_user])
    ids, place = after.transform.ids(rows), spec.field_names.index("person")
    assert (ids[of_user][:, place] == OOV).all()
    stranger = rows.set_column(rows.column_names.index("person"), "person", pa.array(["nobody"] * rows.num_rows))
    assert np.array_equal(after.score(rows)[of_user], after.score(stranger)[of_user])

    # The dataset goes on: the same sources are not ingested again, the tables are described, training goes on.
    manifest = read_manifest(workspace.dataset("tiny")) or {}
    assert manifest["summary"]["rows"] == rows.num_rows - events
    assert (manifest["summary"]["users"], manifest["summary"]["dropped"]) == (29, dropped)
    assert command("ingest", trained.spec, "--workspace", workspace.root)["skipped"]
    assert places_of(KEY, workspace.root) == []
    command("materialize", "--workspace", workspace.root)
    config = trained.spec.parent / "run.yaml"
    command("train", "--config", config, "--workspace", workspace.root)
    assert places_of(KEY, workspace.root) == []
    assert command("check", "--rows", 20, "--workspace", workspace.root)["result"]["rows_with_other_ids"] == 0


def test_retrained_without_them(trained: Trained, workspace: Workspace, tmp_path: Path) -> None:
    """The challenger never saw a row of theirs; the receipt names it, and who is served, in words of the gates."""
    gates = {"auc": -1, "logloss": 1, "calibration": 1, "min_positives": 1}
    config = tmp_path / "run.yaml"
    settings = yaml.safe_load((trained.spec.parent / "run.yaml").read_text(encoding="utf-8"))
    config.write_text(yaml.safe_dump(settings | {"promote": gates}), encoding="utf-8")
    before = workspace.current("tiny")["train"]
    asked = ("forget", "--user", KEY, "--retrain", "--config", config, "--workspace", workspace.root)
    receipt = command(*asked)
    assert places_of(KEY, workspace.root) == []
    made = receipt["retrained"]
    folder = workspace.artifact("bundles", made["bundle"])
    assert folder != before
    assert f"bundles/{made['bundle']}" not in receipt["had_seen"]
    assert any(name.startswith("bundles/") for name in receipt["had_seen"])
    # Of the people of the training rows each has a number, and nobody else has one.
    bundle, rows = Bundle.load(folder), training_rows(workspace, dataset_spec(workspace, "tiny"))
    assert KEY not in bundle.transform.values("person")
    assert set(bundle.transform.values("person")) <= set(rows["person"].to_pylist())
    assert sum("(limit" in one for one in made["because"]) == len(made["because"]) >= 4
    summary = (read_manifest(folder) or {})["result"]
    assert summary["base"] is None, "what was there before has learned from them"
    passed = not any("not passed" in one for one in made["because"])
    assert made["champion"] == (made["bundle"] if passed else None)
    (kept,) = receipts(workspace, "tiny")
    assert kept.retrained is not None
    assert kept.retrained.bundle == made["bundle"]
    # Again, as after a kill while it trained: nobody is forgotten a second time, the same bundle is found.
    again = command(*asked)
    assert (again["removed"], again["retrained"]["bundle"]) == ({}, made["bundle"])


def test_how_to_train_is_said_with_retrain_only(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text("{}")
    said = CliRunner().invoke(
        app, ["forget", "--user", KEY, "--config", str(tmp_path / "run.yaml"), "--workspace", str(workspace.root)]
    )
    assert (said.exit_code, "give --retrain with it" in said.stderr) == (2, True)


def test_a_second_time_there_is_nothing_to_forget(workspace: Workspace) -> None:
    forget_users(workspace, "tiny", [KEY])
    again = forget_users(workspace, "tiny", [KEY])
    assert (again.number, again.removed, again.had_seen) == (2, {}, ())


def test_several_from_a_file(workspace: Workspace, tmp_path: Path) -> None:
    file = tmp_path / "users.txt"
    file.write_text(f"{KEY}\n\n{OTHER}\n")
    assert read_keys(["p5", KEY], file) == ("p5", KEY, OTHER)
    receipt = command("forget", "--user", "p5", "--file", file, "--workspace", workspace.root)
    assert (receipt["users"], receipt["removed"]["user"]) == (3, 3)
    assert "p5" not in training_rows(workspace, dataset_spec(workspace, "tiny"))["person"].to_pylist()


def test_nobody_named_is_said(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nobody is named: give --user ID, or --file"):
        read_keys([], None)
    with pytest.raises(InputError, match="cannot be read"):
        read_keys([], tmp_path / "none.txt")


def test_all_users_are_no_dataset(workspace: Workspace) -> None:
    spec = dataset_spec(workspace, "tiny")
    everybody = set(training_rows(workspace, spec)["person"].to_pylist())
    before = read_manifest(workspace.dataset("tiny"))
    with pytest.raises(DataError, match="no event of 'tiny' would be left"):
        forget_users(workspace, "tiny", everybody)
    assert read_manifest(workspace.dataset("tiny")) == before


def test_a_damaged_file_is_no_reason_to_say_that_it_is_done(workspace: Workspace) -> None:
    (workspace.offline_table("tiny", "served") / "c.parquet").write_bytes(b"PAR1 half")
    with pytest.raises(DataError, match=r"c\.parquet cannot be read .* run 'llactr forget' again"):
        forget_users(workspace, "tiny", [KEY])


STEPS = [
    "forget_in_tables", "forget_values", "_states", "_online", "_artifacts", "_bundles", "announce_cleared",
    "forget_in_files", "_command_log",
]  # fmt: skip


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Workspace], None]:
    """Forgets, and is interrupted after one of the steps."""

    def until(step: str, workspace: Workspace) -> None:
        work = getattr(forgetting, step)

        def interrupted(*arguments: Any, **named: Any) -> None:
            work(*arguments, **named)
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(forgetting, step, interrupted)
            with pytest.raises(KeyboardInterrupt):
                forget_users(workspace, "tiny", [KEY])

    return until


@pytest.mark.parametrize("step", [STEPS[0], STEPS[3], STEPS[5]])
def test_interrupted_after_a_step_and_run_again(
    workspace: Workspace, killed: Callable[[str, Workspace], None], step: str
) -> None:
    killed(step, workspace)
    (begun,) = receipts(workspace, "tiny")
    assert not begun.done
    assert KEY not in begun.model_dump_json()
    receipt = forget_users(workspace, "tiny", [KEY])
    assert places_of(KEY, workspace.root) == []
    assert (receipt.number, receipt.done) == (1, True)
    assert any(name.startswith("training_sets/") for name in receipt.had_seen)


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS)
def test_interrupted_after_every_step(
    workspace: Workspace, killed: Callable[[str, Workspace], None], step: str
) -> None:
    test_interrupted_after_a_step_and_run_again(workspace, killed, step)


def test_other_keys_do_not_go_on_with_a_receipt_that_was_begun(workspace: Workspace) -> None:
    from llactr.lifecycle.forgetting.receipts import begin_receipt

    first = begin_receipt(workspace, "tiny", ["a", "b"], [])
    assert begin_receipt(workspace, "tiny", ["b", "a"], ["x"]) == first.model_copy(update={"had_seen": ("x",)})
    assert begin_receipt(workspace, "tiny", ["a"], []).number == 2
    assert isinstance(first, Receipt)
