"""A workspace's feature store, opened from the repository's YAML; and what `feast apply` does."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from feast import FeatureStore
from feast.errors import FeastError, FeastExtrasDependencyImportError
from feast.repo_config import RepoConfig
from feast.utils import get_default_yaml_file_path
from pydantic import ValidationError

from llactr.errors import InputError
from llactr.extras import missing_extra
from llactr.store.definitions import definitions
from llactr.store.feast.failures import store_failures
from llactr.store.feast.registry import allow_new_registry, quiet_known_warnings
from llactr.store.repository.ours import has_import_line, ours, refuse_other_workspace, refuse_taken_names
from llactr.store.repository.place import repository_file
from llactr.store.tables import create_tables
from llactr.workspace import Workspace

__all__ = [
    "REPOSITORY", "apply", "feast_output_to_log", "open_repository", "open_repository_file", "open_store", "prepare",
    "store_identity",
]  # fmt: skip

_LOG = logging.getLogger(__name__)

REPOSITORY = (Path(__file__).resolve().parents[2] / "feature_repo").resolve()
"""The Feast repository that is installed beside this package."""
_ASOF = "llactr.store.asof.AsofDuckDBOfflineStore"
_SPARK = "llactr.store.spark.AsofSparkOfflineStore"
_SPARK_ENGINE = "llactr.store.spark.MarkingSparkComputeEngine"
_SQLITE = "llactr.store.feast.sqlite.WorkspaceSqliteOnlineStore"


def open_store(workspace: Workspace, *, config: Path | None = None) -> FeatureStore:
    """The workspace's feature store; opening reads the YAML only.

    Args:
        workspace: where relative paths of the YAML start.
        config: a feature_store.yaml; by default the one that `$FEAST_FS_YAML_FILE_PATH` names (Feast's own variable),
            else that of the user's own repository, where a spec names one, else the one that is installed here.

    Raises:
        InputError: the YAML is missing, invalid, or names an environment variable that is not set.
    """
    own = repository_file(workspace, config)
    if own is not None:
        return _open_ours(own)
    path = config or get_default_yaml_file_path(REPOSITORY)
    try:
        # Variables are expanded after parsing, so that no value can change the YAML's structure.
        content = _expand(yaml.safe_load(path.read_text(encoding="utf-8")), path)
        for section in ("registry", "online_store"):
            settings = content[section]
            if "path" in settings and "://" not in settings["path"]:
                settings["path"] = str(workspace.root / settings["path"])
        quiet_known_warnings()
        if _offline_type(content) == "spark":
            content["offline_store"] = _with_type(content["offline_store"], _SPARK)
        _refuse_missing_engines(content)
        parsed = RepoConfig(**content)
    except FeastExtrasDependencyImportError:
        raise missing_extra("redis") from None
    except (OSError, yaml.YAMLError, ValidationError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise InputError(
            f"the feature store's configuration {path} cannot be used ({type(error).__name__}: {reason})"
        ) from None
    parsed.repo_path = path.parent
    return FeatureStore(config=parsed)


def open_repository(workspace: Workspace, *, config: Path | None = None) -> FeatureStore:
    """The user's own repository as it is configured there, for reading their views.

    Its folder is where Feast's commands run, so code of theirs is imported from there. A stock DuckDB offline store is
    joined by ASOF, which gives the same rows for less, and a stock Spark one by ours, which multiplies no row.

    Raises:
        InputError: the workspace has no such repository, or its configuration cannot be used.
    """
    path = repository_file(workspace, config)
    if path is None:
        raise InputError(f"the workspace {workspace.root} uses no Feast repository of your own: run 'llactr ingest'")
    return open_repository_file(path)


def open_repository_file(path: Path) -> FeatureStore:
    """The repository of a feature_store.yaml; see `open_repository`."""
    content = _read_repository(path)
    better = {"duckdb": _ASOF, "spark": _SPARK}.get(_offline_type(content))
    if better is not None:
        content["offline_store"] = _with_type(content["offline_store"], better)
    return _feature_store(content, path)


def _offline_type(content: dict[str, Any]) -> str:
    offline = content.get("offline_store")
    return str(offline.get("type", "") if isinstance(offline, dict) else offline)


def _with_type(section: Any, kind: str) -> dict[str, Any]:
    return {**(section if isinstance(section, dict) else {}), "type": kind}


def _refuse_missing_engines(content: dict[str, Any]) -> None:
    """Says which extra brings what a configuration names, before Feast fails to import it."""
    engine = content.get("batch_engine")
    engine_type = str(engine.get("type", "") if isinstance(engine, dict) else engine)
    for package, named in (
        ("ray", engine_type == "ray.engine"),
        ("pyspark", engine_type in ("spark.engine", _SPARK_ENGINE) or _offline_type(content) in ("spark", _SPARK)),
    ):
        if named and importlib.util.find_spec(package) is None:
            raise missing_extra(package)


def _open_ours(path: Path) -> FeatureStore:
    """A user's repository as llactr uses it for its own views: their registry and online store, its own joins."""
    content = _read_repository(path)
    content["offline_store"] = {"type": _ASOF}
    content["batch_engine"] = {"type": "llactr.store.feast.streaming.StreamingComputeEngine"}
    content["materialization"] = {"online_write_batch_size": 10_000, **(content.get("materialization") or {})}
    return _feature_store(content, path)


def _read_repository(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(os.path.expandvars(path.read_text(encoding="utf-8")))  # as Feast does
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(
            f"the feature store's configuration {path} cannot be read: {' '.join(str(error).split())[:300]}"
        ) from None
    if not isinstance(content, dict):
        raise InputError(f"the feature store's configuration {path} holds no settings: expected project, registry, ...")
    registry = content.get("registry")
    if isinstance(registry, str):
        registry = {"path": registry}
    if isinstance(registry, dict) and "://" not in str(registry.get("path", "")) and _is_file(registry):
        # Feast starts a relative path at the folder where a command runs.
        content["registry"] = {**registry, "path": str(path.parent / registry.get("path", "data/registry.db"))}
    online = content.get("online_store", "sqlite")
    online = dict(online) if isinstance(online, dict) else {"type": online}
    if online.get("type", "sqlite") == "sqlite" and set(online) <= {"type", "path"}:
        # The same database in the same layout, with a connection a thread: readers and writers do not wait.
        content["online_store"] = {"type": _SQLITE, "path": str(path.parent / online.get("path", "data/online.db"))}
    return content


def _is_file(registry: dict[str, Any]) -> bool:
    return registry.get("registry_type", "file") == "file" and registry.get("registry_store_type") is None


def _feature_store(content: dict[str, Any], path: Path) -> FeatureStore:
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    quiet_known_warnings()
    _refuse_missing_engines(content)
    try:
        parsed = RepoConfig(**content)
        parsed.repo_path = path.parent
        return FeatureStore(config=parsed)
    except (ValidationError, FeastError, ImportError, KeyError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise InputError(
            f"the feature store's configuration {path} cannot be used ({type(error).__name__}: {reason})"
        ) from None


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

    Idempotent; what has been materialized stays. In a repository of the user's own, theirs stay as well.

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
        shared = repository_file(workspace, config) is not None
        wanted = {(type(o).__name__, o.name) for o in objects}
        wanted |= {("FileSource", o.batch_source.name) for o in objects if hasattr(o, "batch_source")}
        present: list[Any] = [
            *store.list_feature_services(),
            *store.list_feature_views(),
            *store.list_entities(),
            *store.list_data_sources(),
        ]
        if shared:
            refuse_taken_names(objects, present, place=str(store.config.repo_path))
            refuse_other_workspace(present, workspace, place=str(store.config.repo_path))
            present = [o for o in present if ours(o)]
        gone = [o for o in present if (type(o).__name__, o.name) not in wanted]
        store.apply(objects, objects_to_delete=gone, partial=shared and not gone)
    if shared and not has_import_line(Path(str(store.config.repo_path))):
        _LOG.warning(
            "no file of the Feast repository %s imports llactr's views, and the next 'feast apply' there removes them: "
            "add the line 'from llactr.feature_repo.views import *' to one",
            store.config.repo_path,
        )
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
