"""Who may ask: API keys for /v1 and /v2, the admin key for /v1/admin, and which Host names this service answers to."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections import OrderedDict
from collections.abc import Iterable

from pydantic import SecretStr

from llactr.serving.config import ServeConfig
from llactr.serving.problems import Problem

__all__ = ["Access"]

_ADMIN = "/v1/admin"
_KEYED, _OPEN = ("/v1/", "/v2/"), "/v2/health/"
_WRONG_KEYS, _WITHIN_S = 20, 60.0
_ADDRESSES = 10_000


class Access:
    """Checks a request's Host and keys. Only digests of the keys are kept, and all of them are always compared.

    An address that has sent 20 wrong keys within a minute is answered 429 for any key that it has not used well before,
    without a look at the key: guesses come 20 a minute, and a client behind the same address goes on.
    """

    def __init__(self, config: ServeConfig) -> None:
        self._api_keys = _digests(config.api_keys)
        self._admin_keys = _digests([config.admin_key] if config.admin_key else [])
        self._wrong: OrderedDict[str, list[float]] = OrderedDict()
        self._proven: OrderedDict[tuple[str, bytes], None] = OrderedDict()
        self._hosts = {name.lower() for name in config.host_names}

    def has_key(self, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """Whether headers (names in lower case) hold a valid key of any kind."""
        offered, _ = _offered(headers)
        keys = [*self._api_keys, *self._admin_keys]
        digest = hashlib.sha256(offered).digest()
        matches = [hmac.compare_digest(digest, key) for key in keys]
        return bool(offered) and any(matches)

    def check(self, path: str, headers: Iterable[tuple[bytes, bytes]], *, address: str = "") -> None:
        """Raises a Problem where the request must not pass.

        Args:
            path: of the request.
            headers: names in lower case.
            address: of the client.
        """
        offered, host = _offered(headers)
        if self._hosts and _name(host) not in self._hosts:
            raise Problem(
                421, "unknown-host", "this service answers to local names only: set --allowed-host, or API keys"
            )
        if path == _ADMIN or path.startswith(f"{_ADMIN}/"):
            if not self._admin_keys:
                raise Problem(
                    403, "admin-disabled", "no admin key is set: set LLACTR_ADMIN_KEY, or send SIGHUP to reload"
                )
            self._require(offered, self._admin_keys, "admin key", address)
        elif self._api_keys and f"{path}/".startswith(_KEYED) and not path.startswith(_OPEN):
            self._require(offered, self._api_keys, "API key", address)

    def _require(self, offered: bytes, keys: list[bytes], kind: str, address: str) -> None:
        digest = hashlib.sha256(offered).digest()
        if offered and (address, digest) not in self._proven and self._is_guessing(address):
            raise Problem(
                429,
                "too-many-wrong-keys",
                f"{_WRONG_KEYS} wrong keys came from this address within a minute: wait, and send the right one",
                headers={"Retry-After": "60"},
            )
        matches = [hmac.compare_digest(digest, key) for key in keys]  # no early exit: the time tells nothing
        if not any(matches):
            if offered:
                self._note_wrong(address)
            found = "is not valid" if offered else "is missing"
            raise Problem(
                401,
                "unauthorized",
                f"the {kind} {found}: send it as 'Authorization: Bearer KEY' or 'X-API-Key: KEY'",
                headers={"WWW-Authenticate": "Bearer"},
            )
        self._proven[address, digest] = None
        while len(self._proven) > _ADDRESSES:
            self._proven.popitem(last=False)

    def _is_guessing(self, address: str) -> bool:
        since = time.monotonic() - _WITHIN_S
        recent = [moment for moment in self._wrong.get(address, ()) if moment > since]
        return len(recent) >= _WRONG_KEYS

    def _note_wrong(self, address: str) -> None:
        since = time.monotonic() - _WITHIN_S
        recent = [moment for moment in self._wrong.pop(address, []) if moment > since]
        self._wrong[address] = [*recent, time.monotonic()][-_WRONG_KEYS:]
        while len(self._wrong) > _ADDRESSES:
            self._wrong.popitem(last=False)


def _offered(headers: Iterable[tuple[bytes, bytes]]) -> tuple[bytes, bytes]:
    """The key and the Host of a request; empty where there is none."""
    offered = host = b""
    for name, value in headers:
        if name == b"authorization" and value[:7].lower() == b"bearer ":
            offered = value[7:].strip()
        elif name == b"x-api-key":
            offered = value.strip()
        elif name == b"host":
            host = value
    return offered, host


def _digests(keys: Iterable[SecretStr]) -> list[bytes]:
    return [hashlib.sha256(key.get_secret_value().encode()).digest() for key in keys]


def _name(host: bytes) -> str:
    """The Host header without its port."""
    text = host.decode("latin-1").lower()
    if text.startswith("["):
        return text[: text.find("]") + 1]
    return text.partition(":")[0]
