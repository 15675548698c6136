"""Ports for servers of tests: such as nothing else on the machine takes between the choice and the use."""

from __future__ import annotations

import random
import socket
import sys
from pathlib import Path

__all__ = ["free_port"]

_FIRST, _DEFAULT_END = 15_000, 32_768
_GIVEN_OUT = Path("/proc/sys/net/ipv4/ip_local_port_range")


def free_port() -> int:
    """A port of the loopback address that is free, and spoken for until this process ends.

    It lies below those that the system gives to connections by itself. A name in Linux's abstract name space tells other
    processes of tests that it is taken; the system lets go of it with the process, however it ends. Elsewhere it is
    only free.
    """
    end = int(_GIVEN_OUT.read_text().split()[0]) if _GIVEN_OUT.exists() else _DEFAULT_END
    ports = range(_FIRST, end) if end > _FIRST + 1000 else range(_FIRST, _DEFAULT_END)
    for port in random.SystemRandom().sample(ports, len(ports)):
        claim = socket.socket(socket.AF_UNIX)
        try:
            if sys.platform == "linux":
                claim.bind(f"\0llactr-tests-port-{port}")
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            claim.close()
            continue
        claim.detach()  # kept open, by nobody
        return port
    raise AssertionError("no port is free")
