"""`llactr serve`: the online service, until it is told to end."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import Any

from llactr.errors import InputError
from llactr.serving.config import ServeConfig
from llactr.workspace import Workspace

__all__ = ["configuration", "run"]


def configuration(workspace: Workspace, file: Path | None, flags: dict[str, Any]) -> ServeConfig:
    """The service's settings: a YAML file's, with the flags that were given over them."""
    from llactr.lifecycle.config import read_yaml

    chosen = {name: value for name, value in flags.items() if value is not None}
    return ServeConfig.of(**{**(read_yaml(file) if file else {}), **chosen, "workspace": workspace.root})


def run(config: ServeConfig) -> None:
    """Serves a bundle until SIGTERM or SIGINT; SIGHUP loads it anew.

    Raises:
        InputError: the configuration, the address or the bundle cannot be used.
    """
    if threading.current_thread() is threading.main_thread():
        # Until there is a bundle to replace, SIGHUP has nothing to say; its default would end the process.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    from llactr.serving.server import configure_logging, listen, serve
    from llactr.serving.workers import supervise

    configure_logging()
    if not config.workspace.is_dir():
        raise InputError(f"no workspace {config.workspace}: run 'llactr quickstart' first, or give --workspace")
    with listen(config) as listener:
        if config.workers == 1:
            serve(config, listener)
        else:
            supervise(config, listener)
