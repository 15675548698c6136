"""Calls the application in this process, message by message, without a server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from llactr.serving.app import create_service_app
from llactr.serving.config import ServeConfig
from llactr.serving.service import Service
from llactr.workspace import Workspace
from tests.serving.serving_process import PATIENT, Answer


class Asgi:
    """A started service and its application."""

    def __init__(self, runner: asyncio.Runner, service: Service) -> None:
        self.runner = runner
        self.service = service
        self.app = create_service_app(service)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        return self.runner.run(self.asked(method, path, body, **headers))

    async def asked(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        chunks: list[bytes] | None = None,
        ends: bool = True,
        **headers: str,
    ) -> Answer:
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        pieces = chunks if chunks is not None else [data]
        path, _, query = path.partition("?")
        sent = {"host": "localhost", "content-type": "application/json"} | {
            k.replace("_", "-"): v for k, v in headers.items()
        }
        scope = {
            "type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": query.encode(),
            "headers": [(k.encode(), v.encode("latin-1")) for k, v in sent.items() if v],
            "http_version": "1.1", "scheme": "http", "server": ("localhost", 80), "client": ("127.0.0.1", 1), "root_path": "",
        }  # fmt: skip
        waiting = [
            {"type": "http.request", "body": p, "more_body": not ends or i < len(pieces) - 1}
            for i, p in enumerate(pieces)
        ]
        answer = Answer(0, {}, b"")

        async def receive() -> dict[str, Any]:
            return waiting.pop(0) if waiting else await asyncio.Event().wait()  # type: ignore[return-value]

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                answer.headers = {k.decode(): v.decode() for k, v in message["headers"]}
            else:
                answer.body += message.get("body", b"")

        await self.app(scope, receive, send)  # type: ignore[arg-type]
        return answer

    def metric(self, name: str) -> float:
        text = self.ask("GET", "/metrics").body.decode()
        return sum(
            float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith((f"{name} ", f"{name}{{"))
        )


@contextmanager
def started(workspace: Workspace, **settings: Any) -> Iterator[Asgi]:
    """A service of a workspace, patient unless told otherwise; its keys do not come from the environment."""
    environment = settings.pop("environment", {})
    config = ServeConfig.of(environment=environment, workspace=workspace.root, **(PATIENT | settings))
    with asyncio.Runner() as runner:
        service = Service(config)
        runner.run(service.start())
        try:
            yield Asgi(runner, service)
        finally:
            runner.run(service.stop())
