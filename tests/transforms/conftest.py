from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from llactr.spec import DatasetSpec
from tests import specs


@pytest.fixture(scope="session")
def spec_of() -> Callable[..., DatasetSpec]:
    """A spec of the given fields (all of the context unless they say otherwise)."""

    def make(*fields: dict[str, Any]) -> DatasetSpec:
        filler = {"name": "filler", "kind": "timestamp_part", "part": "hour"}
        listed = [*fields, filler] if len(fields) < 2 else fields
        listed = [{"owner": "context", "description": "some words", **field} for field in listed]
        return specs.spec_of(*listed, keys={"user": "user", "item": "item"})

    return make
