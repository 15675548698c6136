from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from llactr.errors import InputError
from llactr.serving.config import ServeConfig, is_loopback

KEY, OTHER = "k" * 24, "o" * 24


def config(**settings: Any) -> ServeConfig:
    return ServeConfig.of(environment=settings.pop("environment", {}), workspace=Path("ws"), **settings)


def test_loopback_needs_no_keys_and_answers_to_local_names_only() -> None:
    made = config()
    assert (made.host, made.api_keys) == ("127.0.0.1", ())
    assert "localhost" in made.host_names
    assert config(environment={"LLACTR_API_KEYS": KEY}).host_names == ()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org"])
def test_beyond_loopback_needs_keys(host: str) -> None:
    with pytest.raises(InputError, match="reachable from other machines, and no API keys are set: set LLACTR_API_KEYS"):
        config(host=host)
    made = config(host=host, environment={"LLACTR_API_KEYS": f" {KEY} , {OTHER}"})
    assert [key.get_secret_value() for key in made.api_keys] == [KEY, OTHER]


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True), ("10.0.0.1", False), ("a.b", False)],
)
def test_loopback_addresses(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


def test_keys_are_long_and_the_admin_key_is_another_one() -> None:
    with pytest.raises(InputError, match="shorter than 16 characters"):
        config(environment={"LLACTR_API_KEYS": "short"})
    with pytest.raises(InputError, match="the admin key must be another one"):
        config(environment={"LLACTR_API_KEYS": KEY, "LLACTR_ADMIN_KEY": KEY})


def test_keys_do_not_show() -> None:
    made = config(environment={"LLACTR_API_KEYS": KEY, "LLACTR_ADMIN_KEY": OTHER})
    assert KEY not in f"{made!r} {made.model_dump_json()}"
    assert OTHER not in f"{made!r} {made.model_dump_json()}"


def test_tls_needs_both_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="TLS needs both a certificate and a key"):
        config(tls_certificate=tmp_path / "a.pem")
    with pytest.raises(InputError, match=r"no file .*a\.pem: give a PEM file"):
        config(tls_certificate=tmp_path / "a.pem", tls_key=tmp_path / "a.pem")


def test_settings_out_of_range_are_named() -> None:
    with pytest.raises(InputError, match=r"^log_rate: "):
        config(log_rate=2)
    with pytest.raises(InputError, match=r"^nonsense: "):
        config(nonsense=2)
