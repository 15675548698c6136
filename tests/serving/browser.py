"""A headless Chromium that a test drives, over its own protocol on a pair of pipes."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

_READ, _WRITE = 3, 4  # where Chromium expects its pipes


class Page:
    """One page. Messages are JSON, each ended by a zero byte.

    Args:
        url: what it shows.
        profile: a folder for the browser.
        first: JavaScript that runs before the page's own.
        wait_s: for an answer, and for what `until` waits for.
    """

    def __init__(self, url: str, profile: Path, *, first: str = "", wait_s: float = 60) -> None:
        browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
        if browser is None:
            pytest.skip("no chromium on this machine: install the package chromium")
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()
        command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        command += [f"--user-data-dir={profile}", "--window-size=1280,1600", "--remote-debugging-pipe", "about:blank"]
        shell = f'exec "$@" {_READ}<&{theirs_in} {_WRITE}>&{theirs_out}'
        self._process = subprocess.Popen(
            ["bash", "-c", shell, "-", *command], pass_fds=(theirs_in, theirs_out), stderr=subprocess.DEVNULL
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._wait_s, self._number, self._held = wait_s, 0, b""
        self._session: str | None = None
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self._ask("Page.enable")
        self._ask("Page.addScriptToEvaluateOnNewDocument", source=first)
        self._ask("Page.navigate", url=url)

    def __enter__(self) -> Page:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.terminate()
        self._process.wait(30)
        os.close(self._in)
        os.close(self._out)

    def value(self, expression: str) -> Any:
        """What JavaScript gives, as JSON."""
        found = self._ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def until(self, expression: str) -> Any:
        """Waits until JavaScript gives something true, and returns it."""
        end = time.monotonic() + self._wait_s
        while time.monotonic() < end:
            if found := self.value(expression):
                return found
            time.sleep(0.05)
        raise AssertionError(f"{expression} did not come: {self.value('document.body.innerText')}")

    def picture(self, path: Path) -> None:
        """Takes a screenshot."""
        path.write_bytes(base64.b64decode(self._ask("Page.captureScreenshot")["data"]))

    def _ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = json.loads(self._next())
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return dict(answer["result"])

    def _next(self) -> bytes:
        while b"\0" not in self._held:
            ready, _, _ = select.select([self._in], [], [], self._wait_s)
            part = os.read(self._in, 1 << 20) if ready else b""
            assert part, "chromium does not answer"
            self._held += part
        first, _, self._held = self._held.partition(b"\0")
        return first
