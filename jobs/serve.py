"""`llactr serve`: the online service, until it is told to end."""

from __future__ import annotations

from llactr.errors import InputError, missing_extra
from serving.config import ServeConfig

__all__ = ["run"]


def run(config: ServeConfig) -> None:
    """Serves a bundle until SIGTERM or SIGINT; SIGHUP loads it anew.

    Raises:
        InputError: the configuration, the address or the bundle cannot be used, or the extra is not installed.
    """
    try:
        from serving.server import configure_logging, listen, serve
        from serving.workers import supervise
    except ModuleNotFoundError as error:
        if error.name in {"fastapi", "uvicorn", "uvloop", "httptools", "prometheus_client"}:
            raise missing_extra(str(error.name), "serve") from None
        raise
    configure_logging()
    if not config.workspace.is_dir():
        raise InputError(f"no workspace {config.workspace}: run 'llactr quickstart' first, or give --workspace")
    with listen(config) as listener:
        if config.workers == 1:
            serve(config, listener)
        else:
            supervise(config, listener)
