"""One file over HTTP with short patience: a machine that cannot reach the site knows within seconds."""

from __future__ import annotations

import hashlib
import http.client
import logging
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from llactr.errors import StepError

__all__ = ["download"]

_LOG = logging.getLogger(__name__)


class _StaysEncrypted(urllib.request.HTTPRedirectHandler):
    """Refuses to be sent from https to plain http, where anybody on the way could put in another file."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        """The request to the new place.

        Raises:
            HTTPError: it is not encrypted, and the first one was.
        """
        if req.full_url.lower().startswith("https:") and not newurl.lower().startswith("https:"):
            raise urllib.error.HTTPError(newurl, code, f"it redirects from https to {newurl}: refused", headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def download(url: str, target: Path, *, sha256: str | None, connect_s: float = 2.5, stall_s: float = 10.0) -> Path:
    """Downloads a file and checks its digest.

    Args:
        url: what to get; proxies are those of the environment.
        target: the file to write.
        sha256: the file's digest; None where none is known, and the caller checks what is in the file.
        connect_s: how long the site may take to answer, name resolution included.
        stall_s: how long the transfer may stand still.

    Raises:
        StepError: the site did not answer, broke off, or served something else.
    """
    answer: list[Any] = []

    def ask() -> None:
        try:
            answer.append(urllib.request.build_opener(_StaysEncrypted()).open(url, timeout=stall_s))
        except (OSError, ValueError, http.client.HTTPException) as error:
            answer.append(error)

    # In a thread: urlopen's own timeout does not cover name resolution, which can take a minute without a network.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(connect_s)
    if not answer:
        raise StepError(f"{url} did not answer within {connect_s:g} s")
    if isinstance(answer[0], Exception):
        raise StepError(f"{url} cannot be reached ({answer[0]})")
    digest = hashlib.sha256()
    try:
        with answer[0] as response, target.open("wb") as file:
            while piece := response.read(1 << 18):
                digest.update(piece)
                file.write(piece)
    except (OSError, http.client.HTTPException) as error:
        raise StepError(f"{url} broke off ({error})") from None
    if sha256 is None:
        _LOG.warning("%s has no known digest: what it served was taken as it is, sha256 %s", url, digest.hexdigest())
    elif digest.hexdigest() != sha256:
        raise StepError(f"{url} served a file with sha256 {digest.hexdigest()}, expected {sha256}")
    return target
