"""A download stays encrypted, and one without a known digest is said to be so."""

from __future__ import annotations

import http.server
import threading
import urllib.error
import urllib.request
from email.message import Message
from pathlib import Path

import pytest

from llactr.datasets.recipes.download import _StaysEncrypted, download


@pytest.mark.parametrize(
    ("here", "there", "refused"),
    [
        ("https://a.example/x", "http://a.example/x", True),
        ("https://a.example/x", "https://b.example/y", False),
        ("http://a.example/x", "http://b.example/y", False),
    ],
)
def test_a_redirect_from_https_to_plain_http_is_refused(here: str, there: str, refused: bool) -> None:
    asked = urllib.request.Request(here)
    if not refused:
        assert _StaysEncrypted().redirect_request(asked, None, 302, "Found", Message(), there).full_url == there
        return
    with pytest.raises(urllib.error.HTTPError, match=r"redirects from https to http://a\.example/x: refused"):
        _StaysEncrypted().redirect_request(asked, None, 302, "Found", Message(), there)


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"content")

    def log_message(self, *_: object) -> None:
        pass


def test_a_file_without_a_known_digest_is_said_to_be_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with http.server.HTTPServer(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            url = f"http://127.0.0.1:{server.server_port}/file"
            assert download(url, tmp_path / "file", sha256=None).read_bytes() == b"content"
        finally:
            server.shutdown()
            thread.join()
    assert f"{url} has no known digest" in caplog.text
    # sha256 of b"content"
    assert "ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73" in caplog.text
