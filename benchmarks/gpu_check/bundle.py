"""What a machine without network needs for the check, in one folder: wheels, models, the check, and a script.

    <folder>/wheels/        llactr and all it needs, with CUDA; faiss-gpu instead of faiss-cpu
    <folder>/models/        minilm, smollm2
    <folder>/benchmarks/    the check and what it imports
    <folder>/run.sh         makes an environment of the wheels and runs the check there

It is collected on a machine with network, the same Python version and processor; some gigabytes, nearly all CUDA.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

__all__ = ["collect", "commands"]

_REPOSITORY = Path(__file__).resolve().parents[2]
_MODELS = ("minilm", "smollm2")
_PARTS = ("click_log.py", "value_similarity.py", "gpu_check")
_SCRIPT = """#!/bin/sh
# Without network: an environment of the wheels beside this file, and the check in it. Arguments go to the check.
set -eu
cd "$(dirname "$0")"
test -x .venv/bin/python || "${PYTHON:-python3}" -m venv .venv
.venv/bin/python -m pip install --quiet --no-index --find-links wheels 'llactr[gpu,encode]'
HF_HUB_OFFLINE=1 .venv/bin/python -m benchmarks.gpu_check --models models --json gpu-check.json "$@"
"""


def commands(folder: Path) -> list[list[str]]:
    """What pip is asked: llactr's own wheel, then what it needs, at the versions that are tested together."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    wheels = str(folder / "wheels")
    wanted = f"{_REPOSITORY}[gpu,encode]"
    constraints = str(_REPOSITORY / "constraints.txt")
    return [
        [*pip, "wheel", "--quiet", "--no-deps", "--wheel-dir", wheels, str(_REPOSITORY)],
        [*pip, "download", "--quiet", "--prefer-binary", "--dest", wheels, "-c", constraints, wanted],
    ]


def collect(
    folder: Path,
    *,
    run: Callable[[Sequence[str]], object] | None = None,
    model_folder: Callable[[str], Path] | None = None,
) -> None:
    """Fills a folder; what is there already is left.

    Args:
        folder: made if it is not there.
        run: runs a command, and raises if it fails.
        model_folder: where the files of a model lie.
    """
    run = run or (lambda command: subprocess.run(command, check=True))
    if model_folder is None:
        from llactr.semantics.encoders.models import resolve_model as model_folder
    folder.mkdir(parents=True, exist_ok=True)
    for command in commands(folder.resolve()):
        run(command)
    for name in _MODELS:
        if not (folder / "models" / name).exists():
            shutil.copytree(model_folder(name), folder / "models" / name)
    for part in _PARTS:
        source, target = _REPOSITORY / "benchmarks" / part, folder / "benchmarks" / part
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            target.parent.mkdir(exist_ok=True)
            shutil.copy2(source, target)
    script = folder / "run.sh"
    script.write_text(_SCRIPT, encoding="utf-8")
    script.chmod(0o755)
