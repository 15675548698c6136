"""Who may ask what: hosts, API keys, the admin key."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import pytest

from llactr.serving import access
from llactr.serving.access import Access
from llactr.serving.config import ServeConfig
from llactr.serving.problems import Problem

KEY, OTHER, ADMIN = "k" * 24, "o" * 24, "a" * 24
KEYS = {"LLACTR_API_KEYS": f"{KEY}, {OTHER}", "LLACTR_ADMIN_KEY": ADMIN}
OPEN: dict[str, str] = {}


def asked(path: str, environment: dict[str, str], *headers: tuple[bytes, bytes], **settings: Any) -> int:
    """The status of the refusal, 200 when there is none."""
    config = ServeConfig.of(environment=environment, workspace="somewhere", **settings)
    try:
        Access(config).check(path, headers)
    except Problem as problem:
        return problem.status
    return 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        (b"localhost", 200), (b"LOCALHOST:8080", 200), (b"127.0.0.1:8080", 200), (b"[::1]", 200), (b"[::1]:8080", 200),
        (b"evil.example", 421), (b"localhost.evil.example", 421), (b"", 421), (b"[::1", 421), (b"\xff", 421),
    ],
)  # fmt: skip
def test_without_keys_only_local_names_are_answered(host: bytes, status: int) -> None:
    assert asked("/healthz", OPEN, (b"host", host)) == status


def test_allowed_hosts_are_all_that_is_allowed() -> None:
    assert asked("/", OPEN, (b"host", b"ctr.example:443"), allowed_hosts=("CTR.example",)) == 200
    assert asked("/", OPEN, (b"host", b"localhost"), allowed_hosts=("CTR.example",)) == 421
    assert asked("/", KEYS, (b"host", b"anything.example")) == 200, "with keys any name will do"


@pytest.mark.parametrize(
    ("path", "header", "status"),
    [
        ("/v1/rank", (b"x-api-key", KEY.encode()), 200),
        ("/v1/rank", (b"x-api-key", b" " + OTHER.encode() + b" "), 200),
        ("/v1/rank", (b"authorization", b"Bearer " + KEY.encode()), 200),
        ("/v1/rank", (b"authorization", b"bearer  " + KEY.encode()), 200),
        ("/v1/rank", (b"authorization", b"Basic " + KEY.encode()), 401),
        ("/v1/rank", (b"x-api-key", KEY[:-1].encode()), 401),
        ("/v1/rank", (b"x-api-key", b""), 401),
        ("/v1/rank", (b"x-api-key", f"{KEY},{OTHER}".encode()), 401),
        ("/v1/rank", (b"x-api-key", b"\xff\x00"), 401),
        ("/v1/rank", (b"x-api-key", ADMIN.encode()), 401),
        ("/v1", (b"x-api-key", b"wrong"), 401),
        ("/v1/admin/reload", (b"x-api-key", KEY.encode()), 401),
        ("/v1/admin/reload", (b"x-api-key", ADMIN.encode()), 200),
        ("/v1/admin", (b"x-api-key", KEY.encode()), 401),
        ("/v1/administrator", (b"x-api-key", ADMIN.encode()), 401),
        ("/healthz", (b"x-api-key", b"wrong"), 200),
        ("/v10/rank", (b"x-api-key", b"wrong"), 200),
    ],
)  # fmt: skip
def test_each_path_wants_its_key(path: str, header: tuple[bytes, bytes], status: int) -> None:
    assert asked(path, KEYS, header) == status


def test_the_answer_says_whether_a_key_came_and_how_to_send_it() -> None:
    check = Access(ServeConfig.of(environment=KEYS, workspace="somewhere")).check
    with pytest.raises(Problem, match="the API key is missing: send it as 'Authorization: Bearer KEY'") as missing:
        check("/v1/model", [])
    assert missing.value.headers == {"WWW-Authenticate": "Bearer"}
    with pytest.raises(Problem, match="the admin key is not valid") as wrong:
        check("/v1/admin/reload", [(b"x-api-key", KEY.encode())])
    assert KEY not in str(wrong.value.document())


def test_without_an_admin_key_nobody_is_admin() -> None:
    local = (b"host", b"localhost")
    assert asked("/v1/admin/reload", OPEN, local) == 403
    assert asked("/v1/admin/reload", {"LLACTR_API_KEYS": KEY}, local, (b"x-api-key", KEY.encode())) == 403
    assert asked("/v1/rank", OPEN, local) == 200


def test_all_keys_are_compared_and_only_their_digests_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Access(ServeConfig.of(environment=KEYS, workspace="somewhere"))
    assert KEY not in repr(vars(made))
    compared = []
    real = hmac.compare_digest
    monkeypatch.setattr(access.hmac, "compare_digest", lambda a, b: compared.append((a, b)) or real(a, b))
    made.check("/v1/rank", [(b"x-api-key", KEY.encode())])
    digests = [hashlib.sha256(key.encode()).digest() for key in (KEY, OTHER)]
    assert compared == [(digests[0], digests[0]), (digests[0], digests[1])], "the first match does not end it"
