from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path
from typing import Any

import pytest

from llactr.errors import StepError
from llactr.wheels import wheel_file, wheel_files

MEMBER = "recbole/dataset_example/ml-100k/ml-100k.user"


def _pin(wheel: Path, **changes: Any) -> dict[str, Any]:
    return {"version": "1.2.1", "sha256": hashlib.sha256(wheel.read_bytes()).hexdigest(), **changes}


@pytest.mark.usefixtures("wheel_index")
def test_a_file_is_taken_out_and_kept(recbole_wheel: Path, tmp_path: Path) -> None:
    pin = _pin(recbole_wheel)
    path = wheel_file("recbole", **pin, member=MEMBER, cache=tmp_path / "cache")
    assert path.name == "ml-100k.user"
    assert path.read_bytes().startswith(b"user_id:token\tage:token")
    recbole_wheel.unlink()
    assert wheel_file("recbole", **pin, member=MEMBER, cache=tmp_path / "cache") == path
    names = {p.name for p in (tmp_path / "cache").rglob("*") if p.is_file()}
    assert names == {"ml-100k.user", "sha256.json"}, "neither the wheel nor drafts are kept"


@pytest.mark.usefixtures("wheel_index")
def test_a_damaged_copy_is_fetched_again(recbole_wheel: Path, tmp_path: Path) -> None:
    pin = _pin(recbole_wheel)
    path = wheel_file("recbole", **pin, member=MEMBER, cache=tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[:10])
    assert wheel_file("recbole", **pin, member=MEMBER, cache=tmp_path).read_bytes() == whole


@pytest.mark.usefixtures("wheel_index")
def test_another_wheel_is_refused(recbole_wheel: Path, tmp_path: Path) -> None:
    with pytest.raises(StepError, match=r"the wheel recbole-1.2.1-.* has sha256 .*, expected 0000: the package index"):
        wheel_files("recbole", version="1.2.1", sha256="0000", members=[MEMBER], cache=tmp_path / "cache")
    assert not (tmp_path / "cache" / "wheels").exists()


@pytest.mark.usefixtures("wheel_index")
def test_a_member_that_is_not_there(recbole_wheel: Path, tmp_path: Path) -> None:
    with pytest.raises(StepError, match=r"has no file 'recbole/nothing': another version is needed"):
        wheel_file("recbole", **_pin(recbole_wheel), member="recbole/nothing", cache=tmp_path / "cache")
    assert not (tmp_path / "cache" / "wheels").exists()


@pytest.mark.usefixtures("wheel_index")
def test_a_version_that_is_not_there(recbole_wheel: Path, tmp_path: Path) -> None:
    with pytest.raises(
        StepError, match=r"recbole==9.9 cannot be downloaded \(.*\): check the network, or run 'pip download"
    ):
        wheel_file("recbole", **_pin(recbole_wheel, version="9.9"), member=MEMBER, cache=tmp_path)


def test_without_pip_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "pip" else real(name, *rest))
    with pytest.raises(StepError, match=r"pip is not installed beside .*: run '.* -m ensurepip'"):
        wheel_file("recbole", version="1.2.1", sha256="0", member=MEMBER, cache=tmp_path)


@pytest.mark.usefixtures("wheel_index")
def test_a_stray_pip_in_the_working_directory_is_not_run(
    recbole_wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stray = tmp_path / "cwd"
    stray.mkdir()
    (stray / "pip.py").write_text("raise SystemExit('stray')")
    monkeypatch.chdir(stray)
    assert wheel_file("recbole", **_pin(recbole_wheel), member=MEMBER, cache=tmp_path / "cache").exists()
