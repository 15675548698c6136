"""Every command under every condition that a machine or a user can bring about: an exit code and a sentence."""

from __future__ import annotations

import errno
import gc
import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvicorn
import yaml
from typer.testing import CliRunner

from llactr.jobs.cli import app
from llactr.serving import server
from tests.jobs.refusing_machine import refusing
from tests.jobs.tiny_dataset import CONFIG, SPEC, write_dataset

TEXTS = {"dish": ["tags"], "tags": True, "job": True}
ROW = {"person": "p3", "dish": "d4", "device": "phone", "event_timestamp": "2023-11-20T12:00:00+00:00"}
CODES = {0, 1, 2, 130}


@dataclass(frozen=True)
class Place:
    """A workspace that may be spoiled, and how a command is called on it."""

    workspace: Path
    spec: Path
    config: Path
    runner: dict[str, Any] = field(default_factory=dict)

    def call(self, name: str) -> tuple[int, str]:
        """Runs a command; returns its exit code and all that it said."""
        arguments = [str(part) for part in COMMANDS[name](self)]
        found = CliRunner(**self.runner).invoke(app, [*arguments, "--workspace", str(self.workspace)])
        if found.exception is not None and not isinstance(found.exception, SystemExit):
            raise found.exception
        return found.exit_code, found.output + found.stderr


COMMANDS: dict[str, Callable[[Place], tuple[object, ...]]] = {
    "doctor": lambda _: ("doctor",),
    "init --check": lambda at: ("init", "--check", at.spec),
    "init": lambda at: (
        "init",
        *(at.spec.parent / f"{name}.csv" for name in ("events", "people", "dishes")),
        "--out",
        at.workspace / "drafts" / "draft.yaml",
        "--yes",
    ),
    "ingest": lambda at: ("ingest", at.spec),
    "finetune": lambda at: ("finetune", "--config", at.config),
    "encode": lambda at: ("encode", "--config", at.config),
    "encode --values": lambda at: ("encode", "--values", "--config", at.config),
    "apply": lambda _: ("apply",),
    "materialize": lambda _: ("materialize",),
    "snapshots": lambda _: ("snapshots",),
    "train": lambda at: ("train", "--config", at.config),
    "evaluate": lambda at: ("evaluate", "--config", at.config),
    "diagnose": lambda _: ("diagnose",),
    "score": lambda _: ("score", "--row", json.dumps(ROW)),
    "tune": lambda at: ("tune", "--config", at.config, "--trials", 1, "--seeds", 1),
    "run": lambda at: ("run", at.spec, "--config", at.config),
    "serve": lambda _: ("serve", "--port", 0, "--anyway"),
    "check": lambda _: ("check", "--url", "http://127.0.0.1:1", "--rows", 5),
    "push": lambda at: ("push", at.spec.with_name("pushed.jsonl")),
    "skew": lambda _: ("skew",),
    "promote": lambda _: ("promote", "--anyway"),
    "rollback": lambda _: ("rollback",),
    "releases": lambda _: ("releases",),
    "gc": lambda _: ("gc", "--keep", 0),
    "export": lambda at: ("export", "--to", "parquet", "--out", at.workspace.parent / "exported"),
    "list": lambda _: ("list",),
    "show": lambda _: ("show", "datasets/tiny"),
    "compare": lambda _: ("compare", "datasets/tiny", "datasets/tiny"),
    "rm": lambda _: ("rm", "datasets/tiny"),
    "advance": lambda at: ("advance", "--config", at.config),
    "replay": lambda at: (
        "replay",
        at.spec,
        "--config",
        at.config,
        "--every",
        "2d",
        "--first",
        0.8,
        "--policies",
        "never,warm",
    ),
    "monitor": lambda _: ("monitor",),
    "forget": lambda _: ("forget", "--user", "p3"),
}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A workspace in which all has run, value vectors too."""
    folder = tmp_path_factory.mktemp("prepared")
    fields = [
        {**one, "value_text": TEXTS[one["name"]]} if one["name"] in TEXTS else one for one in SPEC["fields"]
    ]  # fmt: skip
    spec, config = write_dataset(folder, fields=fields), folder / "run.yaml"
    evaluate = CONFIG["evaluate"] | {"seeds": 1, "arms": ["plain", "paper"]}
    content = CONFIG | {"values": {"tune": False}, "evaluate": evaluate}
    config.write_text(yaml.safe_dump(content), encoding="utf-8")
    pushed = ROW | {"event_timestamp": "2023-12-20T12:00:00+00:00", "outcome": 1}
    (folder / "pushed.jsonl").write_text(json.dumps(pushed), encoding="utf-8")
    place = Place(folder / "workspace", spec, config)
    code, said = place.call("run")
    assert code == 0, said
    return place


@pytest.fixture
def place(prepared: Place, tmp_path: Path) -> Place:
    """A copy of it."""
    shutil.copytree(prepared.workspace, tmp_path / "workspace")
    return Place(tmp_path / "workspace", prepared.spec, prepared.config)


@pytest.fixture(autouse=True)
def _brief_service(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """`llactr serve` starts, loads, and ends."""

    async def ended(_: uvicorn.Server) -> None:
        return

    monkeypatch.setattr(uvicorn.Server, "main_loop", ended)
    monkeypatch.setattr(server, "configure_logging", lambda: None)
    monkeypatch.setattr(gc, "freeze", lambda: None)
    before = {one: signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    threshold = gc.get_threshold()
    yield
    gc.set_threshold(*threshold)
    for one, handler in before.items():
        signal.signal(one, handler)


Condition = Callable[[Place, pytest.MonkeyPatch, ExitStack], Place | None]
CONDITIONS: dict[str, Condition] = {}


def condition(spoil: Condition) -> Condition:
    """Makes a condition one that every command is run under."""
    CONDITIONS[spoil.__name__.replace("_", " ").strip()] = spoil
    return spoil


@condition
def nothing_wrong(place: Place, _: pytest.MonkeyPatch, __: ExitStack) -> None:
    """What the others differ from."""


@condition
def no_workspace(place: Place, _: pytest.MonkeyPatch, __: ExitStack) -> None:
    shutil.rmtree(place.workspace)


@condition
def an_empty_workspace(place: Place, _: pytest.MonkeyPatch, __: ExitStack) -> None:
    shutil.rmtree(place.workspace)
    place.workspace.mkdir()


@condition
def damaged_manifests(place: Place, _: pytest.MonkeyPatch, __: ExitStack) -> None:
    for path in place.workspace.rglob("manifest.json"):
        path.write_text('{"step": 3, "result": [', encoding="utf-8")


@condition
def manifests_of_another_shape(place: Place, _: pytest.MonkeyPatch, __: ExitStack) -> None:
    for path in place.workspace.rglob("manifest.json"):
        content = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps(dict.fromkeys(content, 3)), encoding="utf-8")


@condition
def damaged_pointers(place: Place, _: pytest.MonkeyPatch, __: ExitStack) -> None:
    for path in (place.workspace / "current").rglob("*"):
        if path.is_file():
            path.write_bytes(b"\xff\x00nowhere")


@condition
def files_cut_in_half(place: Place, _: pytest.MonkeyPatch, __: ExitStack) -> None:
    for path in place.workspace.rglob("*"):
        if path.is_file() and path.suffix in {".parquet", ".safetensors", ".db"}:
            os.truncate(path, path.stat().st_size // 2)


@condition
def a_file_in_place_of_the_workspace(place: Place, _: pytest.MonkeyPatch, __: ExitStack) -> None:
    shutil.rmtree(place.workspace)
    place.workspace.write_text("not a folder", encoding="utf-8")


@condition
def a_read_only_workspace(place: Place, patch: pytest.MonkeyPatch, held: ExitStack) -> None:
    # By a hook and not by permissions, which do not hold for root.
    access = os.access
    patch.setattr("os.access", lambda path, mode, **more: not mode & os.W_OK and access(path, mode, **more))
    held.enter_context(refusing(place.workspace, lambda: OSError(errno.EROFS, os.strerror(errno.EROFS), "the file")))


@condition
def a_workspace_of_another_user(place: Place, patch: pytest.MonkeyPatch, held: ExitStack) -> None:
    patch.setattr("os.access", lambda *_, **__: False)
    error = PermissionError(errno.EACCES, os.strerror(errno.EACCES), "the file")
    held.enter_context(refusing(place.workspace, lambda: error, reads=True))


@condition
def a_full_disk(_: Place, patch: pytest.MonkeyPatch, __: ExitStack) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "the file")

    patch.setattr("os.fsync", full)


@condition
def a_disk_without_room_for_names(place: Place, _: pytest.MonkeyPatch, held: ExitStack) -> None:
    held.enter_context(refusing(place.workspace, lambda: OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "the file")))


@condition
def an_interrupt(place: Place, _: pytest.MonkeyPatch, held: ExitStack) -> None:
    held.enter_context(refusing(place.workspace, KeyboardInterrupt, reads=True))


@condition
def a_locale_of_latin_1(place: Place, _: pytest.MonkeyPatch, __: ExitStack) -> Place:
    moved = place.workspace.rename(place.workspace.with_name("映画−"))
    return Place(moved, place.spec, place.config, {"charset": "latin-1"})


def _wrongly_configured(content: object) -> Condition:
    def spoil(place: Place, patch: pytest.MonkeyPatch, _: ExitStack) -> Place:
        folder = place.workspace.parent
        config, feast, spec = folder / "wrong.yaml", folder / "feast.yaml", folder / "spec.yaml"
        config.write_text(yaml.safe_dump(content), encoding="utf-8")
        # What the commands without --config read: Feast's configuration, and the spec.
        feast.write_text(yaml.safe_dump(content), encoding="utf-8")
        patch.setenv("FEAST_FS_YAML_FILE_PATH", str(feast))
        if not isinstance(content, dict):
            spec.write_text(yaml.safe_dump(content), encoding="utf-8")
        else:
            spec.write_text(yaml.safe_dump(dict.fromkeys(SPEC, 3)), encoding="utf-8")
        return Place(place.workspace, spec, config)

    return spoil


for number, wrong in enumerate(
    [
        3,
        ["train"],
        "train",
        {"train": [3], "semantics": "x", "evaluate": 3, "values": [1], "project": 3},
        {"train": {"backbone": 3}, "evaluate": {"backbones": 3}, "semantics": {"encoder": 3}, "values": {"encoder": 3}},
        {"train": {"backbone": ["fm"]}, "evaluate": {"backbones": [3, ["fm"]]}, "semantics": {"encoder": None}},
        {"train": {"training": 3}, "evaluate": {"backbones": None}, "semantics": {"finetune": [1]}},
        {"train": {"training": {"max_epochs": "x"}}, "evaluate": {"training": {"fm": 3}}, 3: 4},
    ]
):
    CONDITIONS[f"a wrong type in the configuration {number}"] = _wrongly_configured(wrong)


@pytest.mark.parametrize("spoilt", list(CONDITIONS))
@pytest.mark.parametrize("command", list(COMMANDS))
def test_every_command_under_every_condition(
    place: Place, monkeypatch: pytest.MonkeyPatch, command: str, spoilt: str
) -> None:
    with monkeypatch.context() as patch, ExitStack() as held:
        at = CONDITIONS[spoilt](place, patch, held) or place
        code, said = at.call(command)
    assert code in CODES, said
    assert "Traceback" not in said
    if code:
        assert said.strip(), "a sentence"
    if spoilt == "nothing wrong":
        # No service runs that could be checked, none has logged, and nothing was promoted before. The monitor has an
        # alarm: the model reads the past, of which the first events have none, and their scores are others.
        assert code == {"check": 1, "skew": 2, "rollback": 2, "monitor": 1}.get(command, 0), said
