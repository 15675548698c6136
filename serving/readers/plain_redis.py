"""What a single Redis and a cluster of them have in common: Feast's layout, and how a reader is set up and fails."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NoReturn, Self

from feast import FeatureStore
from feast.repo_config import RepoConfig

from llactr.serving.readers.base import StoreAwayError, has_plain_names
from llactr.serving.resp import Reply, ServerError
from llactr.serving.row_commands import RowCommands, row_of
from llactr.serving.slots import Address
from llactr.serving.views import Row

__all__ = ["PlainRedis", "is_plain"]


class PlainRedis:
    """Settings of a reader of Redis, and its replies.

    Args:
        config: the feature store's configuration, with a Redis.
        timeout_s: of connecting and probing.
        spent: told the CPU seconds of packing and parsing.
    """

    snapshot = False
    kind = "Redis"

    def __init__(self, config: RepoConfig, *, timeout_s: float, spent: Callable[[float], None]) -> None:
        from feast.infra.online_stores.redis import RedisOnlineStore  # needs the extra `redis`, which SQLite does not

        self._spent = spent
        self._commands = RowCommands(config)
        nodes, self._options = RedisOnlineStore._parse_connection_string(config.online_store.connection_string)
        self._nodes = [Address(str(node["host"]), int(node.get("port", 6379))) for node in nodes]
        self._timeout_s = timeout_s
        self._has_ttl = bool(config.online_store.key_ttl_seconds)

    @classmethod
    def of(cls, store: FeatureStore, *, timeout_s: float, spent: Callable[[float], None]) -> Self:
        """See `StoreReader`."""
        return cls(store.config, timeout_s=timeout_s, spent=spent)

    def rows(self, replies: Iterable[Reply]) -> list[Row]:
        """Rows of the replies to reads.

        Raises:
            StoreAwayError: the server answered with an error.
        """
        found = []
        for reply in replies:
            if type(reply) is not list:
                self.away(reply)
            found.append(row_of(reply))
        return found

    def are_there(self, replies: Iterable[Reply]) -> list[bool]:
        """What EXISTS said of keys.

        Raises:
            StoreAwayError: the server answered with an error, which is no word on a key.
        """
        found = []
        for reply in replies:
            if isinstance(reply, ServerError):
                self.away(reply)
            found.append(reply == 1)
        return found

    def away(self, error: object, place: str = "") -> NoReturn:
        """Raises StoreAwayError: what does not answer, and why."""
        reason = str(error) or type(error).__name__
        raise StoreAwayError(f"{place or f'{self.kind} at {self._nodes[0]}'} does not answer ({reason})") from None


def is_plain(store: FeatureStore, redis_type: str) -> bool:
    """Whether the online store is Redis of this type by the plain client, whose layout is published."""
    config = store.config.online_store
    plain = config.type == "redis" and config.redis_type.value == redis_type and config.client.value == "redis"
    return has_plain_names(store) and plain
