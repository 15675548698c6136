"""Every setting of the service, as one frozen model: what `llactr serve`'s flags and two variables become."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator

from llactr.errors import InputError
from llactr.validation import problems

__all__ = ["ADMIN_KEY_VARIABLE", "API_KEYS_VARIABLE", "ServeConfig", "is_loopback"]

API_KEYS_VARIABLE = "LLACTR_API_KEYS"
ADMIN_KEY_VARIABLE = "LLACTR_ADMIN_KEY"
_MIN_KEY_LENGTH = 16


class ServeConfig(BaseModel):
    """How the service runs. Limits are per worker process.

    Attributes:
        workspace: the workspace's folder.
        dataset: whose bundle to serve; the only ingested one by default.
        bundle: a bundle's id or path (`llactr.ctr.find`), which is then served until another one is asked for; by
            default the one promoted last, and whichever is promoted later, or, where none ever was, the one trained
            last. A reload without an id goes to that default, whatever is named here.
        anyway: serve a bundle that is below chance, worse than a constant, or not calibrated, on its test rows.
        compare_bundle: a second bundle, scored beside the first when a request asks for it.
        shadow: another bundle, which scores a share of the requests beside their answers; both scores are logged.
        shadow_share: of the users, or of the requests where a request has none or several; the same user always is.
        shadow_queue_rows: rows that wait for it at most; what comes on top is dropped and counted.
        feast_config: a feature_store.yaml; by default what `$FEAST_FS_YAML_FILE_PATH` names, else the repository's.
        cache_ttl_s: how long an item's features may be reused without asking the store; 0 switches the cache off.
        cache_items: items kept at most.
        history_freshness_s: how long an item's state of history may be reused where the store does not say what has
            changed; SQLite and Redis do, a single one or a cluster.
            Users' states are always read.
        catch_up_s: seconds between two looks for events that other processes logged and did not apply.
        max_rows: candidates or rows of one request.
        max_body_bytes: size of a request's body.
        deadline_ms: time from the first byte of a request to its answer; past it the answer is 503.
        max_concurrency: requests under way; what comes on top is answered 429.
        max_connections: open connections; what comes on top is closed.
        micro_batching: score requests that are ready at the same moment in one pass of the model.
        log_rate: share of the users whose scored rows the served-feature log keeps, 0 to 1; all of a user's or none. Of
            requests where the dataset has no users.
        log_queue_rows: rows that wait to be written at most; what comes on top is dropped and counted.
        log_flush_s: seconds after which waiting rows are written.
        log_file_rows: rows after which a file is written at once.
        monitor_rows: rows of a window that is compared with the bundle's profile; 0 compares none.
        probe_interval_s: seconds between two looks at the store.
        store_timeout_s: how long a probe, or a connection, may take.
        api_keys: keys for /v1; none means no check, which is allowed on loopback only.
        admin_key: key for /v1/admin; none switches those paths off.
        allowed_hosts: accepted Host names; by default those of this machine when there are no keys, else any.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    workspace: Path
    dataset: str | None = None
    bundle: str | None = None
    compare_bundle: str | None = None
    shadow: str | None = None
    shadow_share: float = Field(default=0.1, gt=0, le=1)
    shadow_queue_rows: int = Field(default=20_000, ge=1)
    anyway: bool = False
    feast_config: Path | None = None
    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535)
    workers: int = Field(default=1, ge=1, le=64)
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    cache_ttl_s: float = Field(default=60.0, ge=0, le=86_400)
    cache_items: int = Field(default=50_000, ge=1, le=10_000_000)
    history_freshness_s: float = Field(default=0.0, ge=0, le=3600)
    catch_up_s: float = Field(default=1.0, gt=0, le=60)
    max_rows: int = Field(default=1000, ge=1, le=100_000)
    max_body_bytes: int = Field(default=1_000_000, ge=1024)
    deadline_ms: int = Field(default=1000, ge=10, le=600_000)
    max_concurrency: int = Field(default=64, ge=1)
    max_connections: int = Field(default=1024, ge=1)
    micro_batching: bool = True
    log_rate: float = Field(default=0.0, ge=0, le=1)
    log_queue_rows: int = Field(default=100_000, ge=1)
    log_flush_s: float = Field(default=5.0, gt=0)
    log_file_rows: int = Field(default=50_000, ge=1)
    monitor_rows: int = Field(default=1000, ge=0, le=1_000_000)
    probe_interval_s: float = Field(default=0.5, gt=0, le=10)
    store_timeout_s: float = Field(default=1.0, gt=0, le=60)
    api_keys: tuple[SecretStr, ...] = ()
    admin_key: SecretStr | None = None
    allowed_hosts: tuple[str, ...] = ()

    @classmethod
    def of(cls, *, environment: Mapping[str, str] | None = None, **settings: Any) -> ServeConfig:
        """The configuration of some flags and the environment's keys; settings that are None take their default.

        Raises:
            InputError: a setting is out of range, or the service would be open to the network without keys.
        """
        variables = os.environ if environment is None else environment
        keys = tuple(key.strip() for key in variables.get(API_KEYS_VARIABLE, "").split(",") if key.strip())
        admin = variables.get(ADMIN_KEY_VARIABLE, "").strip()
        given = {name: value for name, value in settings.items() if value is not None}
        try:
            return cls(**{"api_keys": keys, "admin_key": admin or None} | given)
        except ValidationError as error:
            raise InputError(problems(error, cls, quoted=False)) from None

    @property
    def host_names(self) -> tuple[str, ...]:
        """Accepted Host names; empty means any."""
        if self.allowed_hosts or self.api_keys:
            return self.allowed_hosts
        return ("localhost", "127.0.0.1", "[::1]", self.host)

    @model_validator(mode="after")
    def _closed_beyond_loopback(self) -> ServeConfig:
        if not is_loopback(self.host) and not self.api_keys:
            raise ValueError(
                f"host {self.host!r} is reachable from other machines, and no API keys are set: "
                f"set {API_KEYS_VARIABLE} (comma-separated), or serve on 127.0.0.1"
            )
        for key in (*self.api_keys, *([self.admin_key] if self.admin_key else [])):
            text = key.get_secret_value()
            if len(text) < _MIN_KEY_LENGTH or not text.isascii() or not text.isprintable():
                raise ValueError(
                    f"a key in {API_KEYS_VARIABLE} or {ADMIN_KEY_VARIABLE} is shorter than {_MIN_KEY_LENGTH} "
                    "characters or not printable ASCII: make one with `openssl rand -hex 24`"
                )
        if self.admin_key and self.admin_key in self.api_keys:
            raise ValueError(
                f"{ADMIN_KEY_VARIABLE} is also one of {API_KEYS_VARIABLE}: the admin key must be another one"
            )
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("TLS needs both a certificate and a key: give both, or leave TLS to a proxy")
        for path in (self.tls_certificate, self.tls_key):
            if path is not None and not path.is_file():
                raise ValueError(f"no file {path}: give a PEM file")
        return self


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address; names other than localhost count as reachable."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
