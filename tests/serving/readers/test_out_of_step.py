"""A reply that nobody asked for shifts no answer: the connection is cut and made anew."""

from __future__ import annotations

import asyncio

import pytest

from llactr.serving.marked import open_reader
from llactr.serving.readers.base import StoreAwayError
from llactr.serving.views import entity_views
from llactr.workspace import Workspace
from tests.serving.serving_process import Redis
from tests.serving.serving_workspace import REDIS_CONFIG, spec_of

pytestmark = pytest.mark.redis


class Meddler:
    """Stands between a reader and Redis; puts a reply of its own before, within or after the server's."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.stray: str | None = None
        self._connections: list[asyncio.StreamWriter] = []

    async def serve(self) -> int:
        self.server = await asyncio.start_server(self._meet, "127.0.0.1", 0)
        return int(self.server.sockets[0].getsockname()[1])

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self.port)
        self._connections += [writer, back]

        async def ask() -> None:
            while data := await reader.read(1 << 20):
                back.write(data)
            back.close()

        task = asyncio.get_running_loop().create_task(ask())
        while data := await there.read(1 << 20):
            if self.stray:
                where, self.stray = self.stray, None
                cut = {"before": 0, "within": data.find(b"\r\n*") + 2, "after": len(data)}[where]
                data = data[:cut] + b":1\r\n" + data[cut:]
            writer.write(data)
        writer.close()
        await task

    async def close(self) -> None:
        for writer in self._connections:
            writer.close()
        self.server.close()


@pytest.mark.parametrize("where", ["before", "within", "after"])
def test_a_stray_reply_does_not_shift_the_answers(
    redis: Redis, redis_workspace: Workspace, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    view = entity_views(spec_of())["user"]

    async def work() -> None:
        meddler = Meddler(redis.port)
        monkeypatch.setenv("LLACTR_REDIS", f"127.0.0.1:{await meddler.serve()}")
        reader = open_reader(redis_workspace, spec_of(), semantics_version="v-one", feast_config=REDIS_CONFIG)
        await reader.connect()
        asked = [(view, ["u1", "u2"])]
        expected = await reader.read(asked)
        meddler.stray = where
        try:
            first = await reader.read(asked)
        except StoreAwayError:
            first = None
        assert first in (None, expected)
        assert where == "after" or first is None
        await asyncio.sleep(0.05)
        await reader.probe()
        assert await reader.read(asked) == expected
        await reader.close()
        await meddler.close()

    asyncio.run(work())
