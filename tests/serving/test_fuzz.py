"""Schemathesis over the service's own OpenAPI document: at least 5,000 cases, no 5xx, no hang, no growth of memory."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from llactr.workspace import Workspace
from tests.serving.serving_process import Served, environment

pytestmark = pytest.mark.slow
CASES = 5000

_RUN = """
import json, sys
from collections import Counter
import requests, schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance, negative_data_rejection, response_schema_conformance, status_code_conformance
)
from schemathesis.generation import GenerationMode

url, cases, key, admin = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
session = requests.Session()
statuses, slowest = Counter(), 0.0
schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
schema.config.generation.update(modes=[GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
operations = [result.ok() for result in schema.get_all_operations()]
checks = [not_a_server_error, content_type_conformance, response_schema_conformance, status_code_conformance]
share = {"/v1/rank": 6, "/v1/predict": 6}
total = sum(share.get(operation.path, 1) for operation in operations)
for operation in operations:
    count = -(-cases * share.get(operation.path, 1) // total)
    for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
        try:
            strategy = operation.as_strategy(generation_mode=mode)
        except Exception as error:
            if mode is GenerationMode.POSITIVE:
                raise
            continue

        @settings(max_examples=count if mode is GenerationMode.NEGATIVE else max(count, 30), deadline=None, database=None,
                  derandomize=True, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
        @given(strategy)
        def send(case):
            global slowest
            headers = {"X-API-Key": admin if "admin" in case.path else key}
            answer = case.call(base_url=url, session=session, headers=headers, timeout=20)
            statuses[answer.status_code] += 1
            slowest = max(slowest, answer.elapsed)
            case.validate_response(answer, checks=checks)

        try:
            send()
        except BaseException as error:
            if "Unsatisfiable" in type(error).__name__:
                continue
            raise
print(json.dumps({"cases": sum(statuses.values()), "statuses": statuses, "slowest_s": slowest}))
"""


def resident_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


def test_schemathesis_finds_nothing(workspace: Workspace, serve: Callable[..., Served], tmp_path: Path) -> None:
    pytest.importorskip("schemathesis", reason="schemathesis is not installed")
    key, admin = "k" * 24, "a" * 24
    variables = {"LLACTR_ADMIN_KEY": admin}
    served = serve(workspace, variables=variables, deadline_ms=10_000, max_body_bytes=200_000, log_rate=0.2)

    def run(cases: int) -> dict[str, object]:
        command = [sys.executable, "-c", _RUN, f"http://127.0.0.1:{served.port}", str(cases), key, admin]
        done = subprocess.run(command, capture_output=True, env=environment(), cwd=tmp_path, timeout=3600, check=False)
        assert done.returncode == 0, done.stderr.decode()[-6000:]
        content: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
        return content

    run(500)
    before = resident_mb(served.process.pid)
    found = run(CASES)
    after = resident_mb(served.process.pid)
    print(f"\nschemathesis: {found}, memory {before:.0f} -> {after:.0f} MB")
    assert found["cases"] >= CASES  # type: ignore[operator]
    assert not [status for status in found["statuses"] if int(status) >= 500]  # type: ignore[attr-defined]
    assert found["slowest_s"] < 10  # type: ignore[operator]
    assert after < 1.05 * before + 5
    assert served.ask("POST", "/v1/rank", {"user": "u1", "items": ["1"]}, **{"X-API-Key": key}).status == 200
