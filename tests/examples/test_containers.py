"""The files for containers are well-formed, agree with one another, and their commands do what they say, outside of any."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import typer.main
import yaml

from llactr.jobs.cli import app
from llactr.serving.config import ServeConfig
from llactr.workspace import Workspace
from tests.ports import free_port
from tests.serving.serving_process import Redis, Served, environment
from tests.serving.serving_workspace import REDIS_CONFIG, build

ROOT = Path(__file__).resolve().parents[2]
CONTAINERS = ROOT / "examples" / "containers"
DOCKERFILE = (CONTAINERS / "Dockerfile").read_text(encoding="utf-8")
COMPOSE = yaml.safe_load((CONTAINERS / "compose.yaml").read_text(encoding="utf-8"))
MANIFESTS = sorted((CONTAINERS / "kubernetes").glob("*.yaml"))


def documents() -> Iterator[dict[str, Any]]:
    for path in MANIFESTS:
        yield from yaml.safe_load_all(path.read_text(encoding="utf-8"))


def of_kind(kind: str) -> dict[str, Any]:
    (found,) = (document for document in documents() if document["kind"] == kind)
    return found


POD = of_kind("Deployment")["spec"]["template"]["spec"]
DAY = of_kind("CronJob")["spec"]["jobTemplate"]["spec"]["template"]["spec"]
COMMANDS = {
    "image": json.loads(DOCKERFILE.rsplit("\nCMD ", 1)[1]),
    "apply": COMPOSE["services"]["apply"]["command"],
    "materialize": COMPOSE["services"]["materialize"]["command"],
    "serve": COMPOSE["services"]["serve"]["command"],
    "pod": POD["containers"][0]["args"],
    "day": DAY["containers"][0]["args"],
}


def test_the_linter_of_dockerfiles_has_no_word() -> None:
    command = [str(Path(sys.executable).with_name("hadolint")), str(CONTAINERS / "Dockerfile")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


@pytest.mark.parametrize(
    "path", [path for path in MANIFESTS if path.name != "kustomization.yaml"], ids=lambda p: p.stem
)
def test_manifests_are_what_kubernetes_takes(path: Path) -> None:
    for document in yaml.safe_load_all(path.read_text(encoding="utf-8")):
        kubernetes_validate.validate(document, "1.31", strict=True)


def test_the_kustomization_names_every_manifest() -> None:
    named = yaml.safe_load((CONTAINERS / "kubernetes" / "kustomization.yaml").read_text(encoding="utf-8"))["resources"]
    assert sorted([*named, "kustomization.yaml"]) == [path.name for path in MANIFESTS]


@pytest.mark.parametrize("command", COMMANDS.values(), ids=list(COMMANDS))
def test_every_command_is_one_of_llactr(command: list[str]) -> None:
    cli = typer.main.get_command(app)
    name, *flags = command
    found = cli.commands[name]  # type: ignore[attr-defined]
    found.make_context(name, list(flags))


def test_all_serve_as_the_image_does() -> None:
    assert COMMANDS["image"] == COMMANDS["serve"] == COMMANDS["pod"]
    assert "\nEXPOSE 8080\n" in DOCKERFILE
    assert POD["containers"][0]["ports"] == [{"name": "http", "containerPort": 8080}]
    user = POD["securityContext"]["runAsUser"]
    assert f"\nUSER {user}\n" in DOCKERFILE
    assert f"--uid {user} " in DOCKERFILE
    assert DAY["securityContext"] == POD["securityContext"]


def test_the_image_holds_what_it_names() -> None:
    pairs = (line.split() for line in DOCKERFILE.splitlines() if line.startswith("COPY ") and "--from" not in line)
    copied = {source for _, *sources, _ in pairs for source in sources}
    kept = (CONTAINERS / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    assert copied == {line[1:] for line in kept if line.startswith("!")}
    assert all((ROOT / source).exists() for source in copied)
    linked = {path.readlink().name for path in (ROOT / "llactr").iterdir() if path.is_symlink()}
    assert linked <= copied, "the package's links lead to folders that are there"
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert {"cpu", "redis"} <= set(extras)
    assert '".[cpu,redis]"' in DOCKERFILE
    config = DOCKERFILE.partition("FEAST_FS_YAML_FILE_PATH=")[2].partition("\n")[0]
    assert config.endswith("/site-packages/llactr/feature_repo/feature_store.redis.yaml")
    assert REDIS_CONFIG.name == "feature_store.redis.yaml"


def test_beyond_loopback_the_service_wants_the_keys_that_are_passed_to_it() -> None:
    assert "LLACTR_API_KEYS" in COMPOSE["services"]["serve"]["environment"]
    assert {"secretRef": {"name": "llactr-keys"}} in POD["containers"][0]["envFrom"]
    host = COMMANDS["image"][COMMANDS["image"].index("--host") + 1]
    ServeConfig.of(environment={"LLACTR_API_KEYS": "k" * 24}, workspace=Path("ws"), host=host)


@pytest.mark.redis
def test_the_commands_fill_a_redis_and_serve(tmp_path: Path) -> None:
    redis = Redis.start()
    served: Served | None = None
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("LLACTR_REDIS", redis.address)
            workspace = build(tmp_path / "ws", feast_config=REDIS_CONFIG)
        redis.command("FLUSHALL")
        key, port = "k" * 24, free_port()
        variables = environment(
            LLACTR_REDIS=redis.address,
            LLACTR_API_KEYS=key,
            LLACTR_WORKSPACE=str(workspace.root),
            FEAST_FS_YAML_FILE_PATH=str(REDIS_CONFIG),
        )
        for name in ("apply", "materialize"):
            done = subprocess.run(
                [sys.executable, "-m", "llactr.jobs.cli", *COMMANDS[name]], env=variables, cwd=tmp_path,
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
        served = _served(workspace, COMMANDS["serve"], port, variables, tmp_path)
        served.wait_ready()
        body = {"user": "u1", "items": ["1", "2"]}
        assert served.ask("POST", "/v1/rank", body, **{"X-API-Key": key}).status == 200
        assert served.ask("POST", "/v1/rank", body).status == 401
        assert subprocess.run(_health(port), check=False).returncode == 0
        for probe in ("readinessProbe", "livenessProbe", "startupProbe"):
            assert served.ask("GET", POD["containers"][0][probe]["httpGet"]["path"]).status == 200
        served.stop()
        assert subprocess.run(_health(port), stderr=subprocess.DEVNULL, check=False).returncode != 0
    finally:
        if served is not None:
            served.stop()
        redis.stop()


def _served(workspace: Workspace, command: list[str], port: int, variables: dict[str, str], folder: Path) -> Served:
    """The command, on loopback and a free port."""
    changed = [{"0.0.0.0": "127.0.0.1", "8080": str(port)}.get(word, word) for word in command]
    log = folder / "serve.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "llactr.jobs.cli", *changed],
            stdout=out,
            stderr=out,
            env=variables,
            cwd=workspace.root,
        )
    return Served(process, port, log)


def _health(port: int) -> list[str]:
    """The image's health check, at another port."""
    _, _, after = DOCKERFILE.partition("HEALTHCHECK")
    command = json.loads(after[after.index("CMD ") + 4 :].partition("\n")[0])
    assert shutil.which(command[0]) or os.name == "nt"
    return [sys.executable, *(word.replace(":8080/", f":{port}/") for word in command[1:])]
