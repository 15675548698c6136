"""Feast's registry and SQLite database inside the workspace: found by environment, written atomically.

Feast expands `$NAMES` in feature_store.yaml but knows no default, and resolves relative paths against the repository.
The two classes here resolve them against the workspace instead, so that one YAML serves every workspace.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import click
from feast.infra.registry.file import FileRegistryStore
from feast.protos.feast.core.FeatureView_pb2 import FeatureView as FeatureViewProto
from feast.protos.feast.core.Registry_pb2 import Registry as RegistryProto
from feast.repo_config import RegistryConfig

from llactr.atomic import writing_file
from llactr.errors import NotReadyError
from llactr.workspace import WORKSPACE_VARIABLE, Workspace

__all__ = [
    "NothingAppliedError",
    "WorkspaceRegistryStore",
    "allow_new_registry",
    "quiet_known_warnings",
    "repository_workspace",
]

DEFAULT_WORKSPACE = ".llactr"


class NothingAppliedError(NotReadyError, click.ClickException):
    """The workspace has no registry yet. Feast's command line shows it as one sentence, without a traceback."""

    def format_message(self) -> str:
        """What the command line shows."""
        return str(self.args[0])


def repository_workspace(repository: Path) -> Workspace:
    """The workspace that a repository's relative paths start from: `$LLACTR_WORKSPACE`, else `.llactr` beside it.

    Raises:
        NothingAppliedError: the variable holds a relative path, which has no meaning here: feast changes directory; or
            it is not set and the repository is the installed package's own, beside which no workspace belongs.
    """
    chosen = os.environ.get(WORKSPACE_VARIABLE)
    if chosen and not Path(chosen).expanduser().is_absolute():
        raise NothingAppliedError(
            f"{WORKSPACE_VARIABLE} is the relative path {chosen!r}, and feast changes directory: set an absolute path"
        )
    if not chosen and (repository.absolute().parent / "__init__.py").exists():
        raise NothingAppliedError(
            f"this repository lies in the installed package: set {WORKSPACE_VARIABLE} to the workspace's absolute path"
        )
    return Workspace.at(chosen or repository.absolute().parent / DEFAULT_WORKSPACE)


def quiet_known_warnings() -> None:
    """Silences warnings that nobody here can act on.

    Feast says that `serve_features_while_materializing` 'typically has no effect' on a file registry. It has: a test
    of ours reads a view that is being materialized. And ibis calls methods that DuckDB deprecates.
    """
    for method in ("fetch_arrow_table", "fetch_record_batch"):
        warnings.filterwarnings("ignore", rf"{method}\(\) is deprecated", DeprecationWarning)
    logger = logging.getLogger("feast.repo_config")
    if _is_other_message not in logger.filters:
        logger.addFilter(_is_other_message)


def _is_other_message(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith("`serve_features_while_materializing` is enabled but")


def allow_new_registry(workspace: Workspace) -> None:
    """Lets this process make a workspace's registry where there is none; the first step of an apply."""
    WorkspaceRegistryStore.applying.add(workspace.root)


class WorkspaceRegistryStore(FileRegistryStore):
    """A file registry in the workspace. A missing one is an error that says what to run, not an empty registry.

    Paths of tables within the workspace are relative to it in the file and absolute in memory, so that a workspace
    that was copied or moved reads its own tables.

    Attributes:
        applying: roots of the workspaces for which this process may make a registry.
    """

    applying: ClassVar[set[Path]] = set()

    def __init__(self, registry_config: RegistryConfig, repo_path: Path) -> None:
        super().__init__(registry_config, repo_path)
        if not Path(registry_config.path).is_absolute():
            self._filepath = repository_workspace(Path(repo_path)).root / registry_config.path
        self._root = self._filepath.parent.parent

    def get_registry_proto(self) -> Any:
        """The registry's content.

        Raises:
            NothingAppliedError: nothing has been applied to this workspace.
        """
        if not self._filepath.exists() and self._root not in self.applying:
            has_data = bool(Workspace(self._root).datasets())
            first = "'llactr apply', or 'feast apply' in feature_repo," if has_data else "'llactr ingest'"
            raise NothingAppliedError(f"the workspace {self._root} has no feature registry yet: run {first} first")
        return _with_paths(super().get_registry_proto(), lambda path: str(self._root / path))  # absolute ones stay

    def _write_registry(self, registry_proto: RegistryProto) -> None:
        # Feast truncates the file and writes it in place: a reader meanwhile, or a kill, would see half a registry.
        final = self._filepath
        relative = _with_paths(registry_proto, self._relative)
        try:
            with writing_file(final) as self._filepath:
                super()._write_registry(relative)
        finally:
            self._filepath = final

    def _relative(self, path: str) -> str:
        place = Path(path)
        return str(place.relative_to(self._root)) if place.is_relative_to(self._root) else path


def _with_paths(registry: RegistryProto, change: Callable[[str], str]) -> RegistryProto:
    """A copy of a registry with the paths of tables and of the SQLite store changed; addresses such as s3:// stay."""
    changed = RegistryProto()
    changed.CopyFrom(registry)
    _change_paths(changed, change)
    for record in changed.feature_view_version_history.records:
        if record.feature_view_type == "feature_view":
            view = FeatureViewProto.FromString(record.feature_view_proto)
            _change_paths(view, change)
            record.feature_view_proto = view.SerializeToString(deterministic=True)
    return changed


def _change_paths(message: Any, change: Callable[[str], str]) -> None:
    """Changes the paths in a message and all that it holds: sources stand in views, services, and by themselves."""
    name = {"FileOptions": "uri", "SqliteTable": "path"}.get(message.DESCRIPTOR.name)
    path = getattr(message, name) if name else ""
    if name and path and "://" not in path:
        setattr(message, name, change(path))
    for field, value in message.ListFields():
        if field.message_type is None or field.message_type.GetOptions().map_entry:
            continue
        for part in value if isinstance(value, Sequence) else [value]:
            _change_paths(part, change)
