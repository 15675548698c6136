"""A workspace's feature store, opened from the repository's YAML; and what `feast apply` does."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from feast import FeatureStore
from feast.errors import FeastExtrasDependencyImportError
from feast.repo_config import RepoConfig
from feast.utils import get_default_yaml_file_path
from pydantic import ValidationError

from llactr.errors import InputError
from llactr.extras import missing_extra
from llactr.store.definitions import definitions
from llactr.store.feast.failures import store_failures
from llactr.store.feast.registry import allow_new_registry, quiet_known_warnings
from llactr.store.tables import create_tables
from llactr.workspace import Workspace

__all__ = ["REPOSITORY", "apply", "feast_output_to_log", "open_store", "prepare", "store_identity"]

_LOG = logging.getLogger(__name__)

REPOSITORY = (Path(__file__).resolve().parents[2] / "feature_repo").resolve()
"""The Feast repository that is installed beside this package."""


def open_store(workspace: Workspace, *, config: Path | None = None) -> FeatureStore:
    """The workspace's feature store; opening reads the YAML only.

    Args:
        workspace: where relative paths of the YAML start.
        config: a feature_store.yaml; by default the one that `$FEAST_FS_YAML_FILE_PATH` names (Feast's own variable),
            else the repository's.

    Raises:
        InputError: the YAML is missing, invalid, or names an environment variable that is not set.
    """
    path = config or get_default_yaml_file_path(REPOSITORY)
    try:
        # Variables are expanded after parsing, so that no value can change the YAML's structure.
        content = _expand(yaml.safe_load(path.read_text(encoding="utf-8")), path)
        for section in ("registry", "online_store"):
            settings = content[section]
            if "path" in settings and "://" not in settings["path"]:
                settings["path"] = str(workspace.root / settings["path"])
        quiet_known_warnings()
        parsed = RepoConfig(**content)
    except FeastExtrasDependencyImportError:
        raise missing_extra("redis") from None
    except (OSError, yaml.YAMLError, ValidationError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise InputError(
            f"the feature store's configuration {path} cannot be used ({type(error).__name__}: {reason})"
        ) from None
    engine = content.get("batch_engine")
    if isinstance(engine, dict) and engine.get("type") == "ray.engine" and importlib.util.find_spec("ray") is None:
        raise missing_extra("ray")
    parsed.repo_path = path.parent
    return FeatureStore(config=parsed)


def store_identity(workspace: Workspace, *, config: Path | None = None) -> dict[str, str]:
    """Which registry and online store are meant, without secrets: what a step that fills them depends on.

    Raises:
        InputError: see `open_store`.
    """
    parsed = open_store(workspace, config=config).config
    online = parsed.online_store
    place = str(getattr(online, "connection_string", "") or getattr(online, "path", ""))
    kept = [part for part in place.split(",") if "=" not in part or part.split("=")[0].strip() in {"db", "ssl"}]
    return {"registry": str(parsed.registry.path), "online store": f"{online.type} {','.join(kept)}"}


def prepare(workspace: Workspace) -> None:
    """Makes what an apply needs: the semantics tables, empty where they are missing, and leave to make a registry."""
    create_tables(workspace)
    allow_new_registry(workspace)


def apply(workspace: Workspace, *, config: Path | None = None) -> list[str]:
    """Registers the definitions of all ingested datasets, and removes those of datasets that are gone.

    Idempotent; what has been materialized stays.

    Returns:
        the names of the feature views, sorted.

    Raises:
        NotReadyError: no dataset has been ingested.
        SpecError: names that Feast or DuckDB cannot carry.
        StoreError: Feast refused.
    """
    objects = definitions(workspace)
    prepare(workspace)
    store = open_store(workspace, config=config)
    with (
        store_failures("applying the definitions", then="mend the cause and run 'llactr apply' again"),
        feast_output_to_log(),
    ):
        wanted = {(type(o).__name__, o.name) for o in objects}
        wanted |= {("FileSource", o.batch_source.name) for o in objects if hasattr(o, "batch_source")}
        present: list[Any] = [
            *store.list_feature_services(),
            *store.list_feature_views(),
            *store.list_entities(),
            *store.list_data_sources(),
        ]
        gone = [o for o in present if (type(o).__name__, o.name) not in wanted]
        store.apply(objects, objects_to_delete=gone, partial=False)
    return sorted(name for kind, name in wanted if kind == "FeatureView")


@contextlib.contextmanager
def feast_output_to_log() -> Iterator[None]:
    """Feast prints; standard output is kept for results. What it prints is logged at level DEBUG."""
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            yield
    finally:
        for line in filter(None, map(str.strip, printed.getvalue().splitlines())):
            _LOG.debug("feast: %s", line)


_VARIABLE = re.compile(r"\$\{(\w+)\}|\$(\w+)")


def _expand(value: Any, path: Path) -> Any:
    if isinstance(value, dict):
        return {key: _expand(item, path) for key, item in value.items()}
    if isinstance(value, list):
        return [_expand(item, path) for item in value]
    return (
        _VARIABLE.sub(lambda match: _variable(match[1] or match[2], path), value) if isinstance(value, str) else value
    )


def _variable(name: str, path: Path) -> str:
    if name not in os.environ:
        raise InputError(f"the feature store's configuration {path} reads the environment variable {name}: set it")
    return os.environ[name]
