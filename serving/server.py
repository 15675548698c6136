"""Runs the service: one process, or several that share a socket under a parent that keeps them alive."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import sys

from llactr.errors import InputError, LlactrError

# Before torch is imported: spinning threads, and more threads than workers have cores, cost more than they bring.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
import uvicorn

from llactr.serving.access import Access
from llactr.serving.app import create_service_app
from llactr.serving.config import ServeConfig
from llactr.serving.control import Control
from llactr.serving.protocol import guarded_protocol
from llactr.serving.service import Service

__all__ = ["configure_logging", "listen", "serve"]

_LOG = logging.getLogger(__name__)
_BACKLOG = 1024


def listen(config: ServeConfig) -> socket.socket:
    """The listening socket.

    Raises:
        InputError: the address cannot be used.
    """
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((config.host.strip("[]"), config.port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise InputError(
            f"cannot listen on {config.host}:{config.port} ({error.strerror}): choose another --port"
        ) from None
    listener.set_inheritable(True)
    return listener


def serve(config: ServeConfig, listener: socket.socket, *, control: Control | None = None) -> None:
    """Serves until SIGTERM or SIGINT; SIGHUP loads the bundle anew.

    Args:
        config: the settings.
        listener: from `listen`.
        control: what the workers of one service share; None for a single process.

    Raises:
        InputError: the bundle cannot be served.
    """
    torch.set_num_threads(1)
    service = Service(config, control=control)
    app = create_service_app(service)
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            loop="uvloop",
            http=guarded_protocol(config.max_connections, has_key=Access(config).has_key),
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=True,
            proxy_headers=False,
            backlog=_BACKLOG,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=max(2, config.deadline_ms // 1000 + 1),
            ssl_certfile=config.tls_certificate,
            ssl_keyfile=str(config.tls_key) if config.tls_key else None,
        )
    )
    with asyncio.Runner(loop_factory=_uvloop) as runner:
        runner.run(_serve(server, service, listener))


def _uvloop() -> asyncio.AbstractEventLoop:
    import uvloop

    return uvloop.new_event_loop()


async def _serve(server: uvicorn.Server, service: Service, listener: socket.socket) -> None:
    def on_hangup() -> None:
        service.background(_reload(service))

    scheme = "https" if service.config.tls_certificate else "http"
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, on_hangup)
    await service.start()
    _LOG.warning("serving %s on %s://%s:%d", service.name, scheme, *listener.getsockname()[:2])
    # What start-up leaves behind lives for ever: the collector need not look at it again while requests wait.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    for ending in (signal.SIGTERM, signal.SIGINT):  # uvicorn raises the signal again when it has ended well
        signal.signal(ending, lambda *_: None)
    await server.serve(sockets=[listener])


async def _reload(service: Service) -> None:
    with contextlib.suppress(LlactrError):  # said in the log; the bundle in use stays
        await service.reload(signalled=True)


def configure_logging() -> None:
    """One line an event on stderr."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("feast").setLevel(logging.WARNING)
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
