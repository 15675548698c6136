"""A Ray of two workers on this machine for the slow tests, and a way to have its workers die."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

QUIET = {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0", "RAY_DEDUP_LOGS": "0"}


@contextmanager
def local_ray(marks: Path) -> Iterator[Path]:
    """Ray with two CPUs. Where `kill-N` is in `marks`, the first worker with an N-th piece dies after it, before it tells.

    That is the worst moment: what the piece leaves behind is there already when it is done again.
    """
    ray = pytest.importorskip("ray", reason="ray is not installed: pip install 'llactr[ray]'")
    place = str(marks)

    def die() -> None:
        import os
        import signal
        from pathlib import Path

        from llactr.pieces.on_ray import Hands

        do, done = Hands.do, [0]

        def dying(self: Hands, piece: object) -> object:
            result = do(self, piece)
            done[0] += 1
            (Path(place) / f"did-{os.getpid()}-{done[0]}").touch()
            try:
                (Path(place) / f"kill-{done[0]}").rename(Path(place) / f"killed-{done[0]}")
            except FileNotFoundError:
                return result
            os.kill(os.getpid(), signal.SIGKILL)
            return result

        Hands.do = dying  # type: ignore[method-assign]

    before = dict(os.environ)
    os.environ.update(QUIET)
    os.environ.pop("RAY_ADDRESS", None)
    ray.init(
        address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=128 * 2**20,
        _node_ip_address="127.0.0.1", runtime_env={"worker_process_setup_hook": die},
    )  # fmt: skip
    try:
        yield marks
    finally:
        ray.shutdown()
        for name in set(os.environ) - set(before):
            del os.environ[name]
        os.environ.update(before)
