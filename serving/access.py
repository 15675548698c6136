"""Who may ask: API keys for /v1, the admin key for /v1/admin, and which Host names this service answers to."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable

from pydantic import SecretStr

from llactr.serving.config import ServeConfig
from llactr.serving.problems import Problem

__all__ = ["Access"]

_ADMIN = "/v1/admin"


class Access:
    """Checks a request's Host and keys. Only digests of the keys are kept, and all of them are always compared."""

    def __init__(self, config: ServeConfig) -> None:
        self._api_keys = _digests(config.api_keys)
        self._admin_keys = _digests([config.admin_key] if config.admin_key else [])
        self._hosts = {name.lower() for name in config.host_names}

    def check(self, path: str, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Raises a Problem where the request must not pass.

        Args:
            path: of the request.
            headers: names in lower case.
        """
        offered = host = b""
        for name, value in headers:
            if name == b"authorization" and value[:7].lower() == b"bearer ":
                offered = value[7:].strip()
            elif name == b"x-api-key":
                offered = value.strip()
            elif name == b"host":
                host = value
        if self._hosts and _name(host) not in self._hosts:
            raise Problem(
                421, "unknown-host", "this service answers to local names only: set --allowed-host, or API keys"
            )
        if path == _ADMIN or path.startswith(f"{_ADMIN}/"):
            if not self._admin_keys:
                raise Problem(
                    403, "admin-disabled", "no admin key is set: set LLACTR_ADMIN_KEY, or send SIGHUP to reload"
                )
            self._require(offered, self._admin_keys, "admin key")
        elif self._api_keys and (path == "/v1" or path.startswith("/v1/")):
            self._require(offered, self._api_keys, "API key")

    def _require(self, offered: bytes, keys: list[bytes], kind: str) -> None:
        digest = hashlib.sha256(offered).digest()
        matches = [hmac.compare_digest(digest, key) for key in keys]  # no early exit: the time tells nothing
        if not any(matches):
            found = "is not valid" if offered else "is missing"
            raise Problem(
                401,
                "unauthorized",
                f"the {kind} {found}: send it as 'Authorization: Bearer KEY' or 'X-API-Key: KEY'",
                headers={"WWW-Authenticate": "Bearer"},
            )


def _digests(keys: Iterable[SecretStr]) -> list[bytes]:
    return [hashlib.sha256(key.get_secret_value().encode()).digest() for key in keys]


def _name(host: bytes) -> str:
    """The Host header without its port."""
    text = host.decode("latin-1").lower()
    if text.startswith("["):
        return text[: text.find("]") + 1]
    return text.partition(":")[0]
