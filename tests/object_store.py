"""An S3 server on this machine, made for tests, ended by its pid; the variables that lead to it."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

_SERVER = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""


@contextmanager
def object_store(*buckets: str) -> Iterator[str]:
    """Its address, while its variables are set; it is empty but for the buckets."""
    for package in ("moto", "flask_cors"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"no {package}: install llactr[test]")
    import pyarrow.fs as pafs

    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", _SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    try:
        port = next(line.strip() for line in process.stdout if line.strip().isdigit())
        address = f"http://127.0.0.1:{port}"
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AWS_ENDPOINT_URL", address)
            for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
                patch.setenv(name, "testing")
            patch.setenv("AWS_REGION", "us-east-1")
            made = pafs.S3FileSystem(
                endpoint_override=address.removeprefix("http://"), scheme="http", allow_bucket_creation=True
            )
            for bucket in buckets:
                made.create_dir(bucket)
            yield address
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        if process.stdin is not None:
            process.stdin.close()
