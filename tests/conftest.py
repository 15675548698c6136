"""What all tests share: nothing of the machine's surroundings comes between them and their own servers."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="session")
def no_proxy_between_tests_and_their_servers() -> Iterator[None]:
    """A proxy that the environment names is not asked for what is on this machine."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("no_proxy", "NO_PROXY"):
            known = os.environ.get(name)
            patch.setenv(name, ",".join([*([known] if known else []), "127.0.0.1", "localhost"]))
        yield
