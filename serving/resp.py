"""The part of Redis' protocol (RESP 2) that pipelined reads need: packing commands, parsing replies as bytes arrive."""

from __future__ import annotations

from typing import Any

__all__ = ["Reply", "ReplyParser", "ServerError", "pack"]

Reply = Any
"""bytes, int, None, a list of replies, or ServerError (returned, not raised, so that the pipeline stays in step)."""

_MAX_REPLY_BYTES = 512 * 1024 * 1024


class ServerError(Exception):
    """An error that Redis replied with, such as `LOADING Redis is loading the dataset in memory`."""


def pack(*parts: bytes) -> bytes:
    """A command in wire format."""
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)


class ReplyParser:
    """Bytes in, whole replies out. A reply that is not complete yet is parsed again when more has come."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> list[Reply]:
        """The replies that are complete with this data.

        Raises:
            ValueError: these bytes are not RESP.
        """
        buffer = self._buffer + data if self._buffer else data
        replies: list[Reply] = []
        position = 0
        try:
            while position < len(buffer):
                reply, position = _parse(buffer, position)
                replies.append(reply)
        except IndexError:  # the reply at `position` has not wholly arrived
            if len(buffer) - position > _MAX_REPLY_BYTES:
                raise ValueError("a reply is larger than 512 MB") from None
        self._buffer = buffer[position:]
        return replies


def _parse(buffer: bytes, position: int) -> tuple[Reply, int]:
    """The reply at a position and where it ends; IndexError when the buffer ends before it does."""
    end = buffer.find(b"\r\n", position)
    if end < 0:
        raise IndexError
    kind = buffer[position]
    start = end + 2
    if kind == 36:  # $
        return _bulk(buffer, int(buffer[position + 1 : end]), start)
    if kind == 42:  # *
        return _array(buffer, int(buffer[position + 1 : end]), start)
    if kind == 58:  # :
        return int(buffer[position + 1 : end]), start
    if kind == 43:  # +
        return buffer[position + 1 : end], start
    if kind == 45:  # -
        return ServerError(buffer[position + 1 : end].decode(errors="replace")), start
    raise ValueError(f"{buffer[position : position + 20]!r} is no reply of Redis")


def _bulk(buffer: bytes, size: int, start: int) -> tuple[bytes | None, int]:
    if size < 0:
        return None, start
    end = start + size + 2
    if end > len(buffer):
        raise IndexError
    return buffer[start : end - 2], end


def _array(buffer: bytes, count: int, position: int) -> tuple[list[Reply] | None, int]:
    if count < 0:
        return None, position
    items: list[Reply] = []
    find, size_of_buffer = buffer.find, len(buffer)
    for _ in range(count):
        # The loop that reading features spends its time in: a bulk string without a call per item.
        if position >= size_of_buffer:
            raise IndexError
        if buffer[position] != 36:
            item, position = _parse(buffer, position)
            items.append(item)
            continue
        end = find(b"\r\n", position)
        if end < 0:
            raise IndexError
        size = int(buffer[position + 1 : end])
        if size < 0:
            items.append(None)
            position = end + 2
            continue
        position = end + 4 + size
        if position > size_of_buffer:
            raise IndexError
        items.append(buffer[end + 2 : position - 2])
    return items, position
