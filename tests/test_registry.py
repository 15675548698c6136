"""Registries: names without imports, entries of our files and of installed packages, and what is said when one fails."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from llactr.errors import InputError, LlactrError, SpecError
from llactr.registry import Registry

GROUP = "test.shapes"
Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Puts a package with one module and its entry points where Python finds it."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(site)

    def add(package: str, source: str, **points: str) -> None:
        (site / f"{package}.py").write_text(source)
        facts = site / f"{package}-1.0.dist-info"
        facts.mkdir()
        (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        lines = [f"{name} = {package}:{target}" for name, target in points.items()]
        (facts / "entry_points.txt").write_text("\n".join([f"[{GROUP}]", *lines, ""]))

    return add


@pytest.fixture
def ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package of ours with three files of entries, a base, a private file, and one that registers nothing."""
    package = f"shapes_{tmp_path.name.replace('-', '_')}"
    folder = tmp_path / package
    folder.mkdir()
    for name in ("__init__", "base", "_hidden"):
        (folder / f"{name}.py").write_text("")
    for name in ("square", "circle", "line"):
        (folder / f"{name}.py").write_text(
            f"from {package}_registry import R\nR.register({name!r}, {name.upper()!r})\n"
        )
    (folder / "empty.py").write_text("")
    (tmp_path / f"{package}_registry.py").write_text(
        f"from llactr.registry import Registry\nR = Registry('shape', package={package!r}, group={GROUP!r}, order=('square',))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    return package


def registry_of(package: str) -> Registry[str]:
    __import__(f"{package}_registry")
    found: Registry[str] = sys.modules[f"{package}_registry"].R
    return found


def test_names_are_those_of_the_files_and_nothing_is_imported(ours: str) -> None:
    registry = registry_of(ours)
    assert list(registry) == ["square", "circle", "empty", "line"]
    assert len(registry) == 4
    assert "line" in registry
    assert "base" not in registry
    assert not [name for name in sys.modules if name.startswith(f"{ours}.")]
    assert registry["line"] == "LINE"
    assert [name for name in sys.modules if name.startswith(f"{ours}.")] == [f"{ours}.line"]


def test_an_unknown_name_lists_what_is_there_and_what_was_meant(ours: str) -> None:
    with pytest.raises(InputError) as caught:
        registry_of(ours)["circel"]
    assert str(caught.value) == (
        "shape 'circel' is not known: choose one of square, circle, empty, line; did you mean 'circle'?"
    )
    with pytest.raises(InputError, match=r"'zzz' is not known: choose one of square, circle, empty, line$"):
        registry_of(ours)["zzz"]
    assert "'3' is not known" in str(registry_of(ours).unknown("3"))


def test_a_file_that_registers_nothing_is_named(ours: str) -> None:
    with pytest.raises(LlactrError, match=rf"{ours}\.empty registers no shape under its file's name 'empty'"):
        registry_of(ours)["empty"]


def test_a_name_is_given_once(ours: str) -> None:
    registry = registry_of(ours)
    thing = registry.register("star", "STAR")
    assert registry.register("star", thing) == "STAR"
    assert registry["star"] == "STAR"
    with pytest.raises(InputError, match="there is a shape 'star' already: give the other one another name"):
        registry.register("star", "OTHER")


def test_an_installed_package_adds_an_entry(ours: str, install: Install) -> None:
    install("acme_shapes", "HEX = 'hexagon'\n", hexagon="HEX", line="HEX")
    registry = registry_of(ours)
    assert list(registry) == ["square", "circle", "empty", "line", "hexagon"]
    assert "hexagon" in registry
    assert "acme_shapes" not in sys.modules  # found, not yet imported
    assert registry["hexagon"] == "hexagon"
    assert registry["line"] == "LINE"  # a name of ours stays ours
    assert str(registry.unknown("hexagn")).endswith("line, hexagon; did you mean 'hexagon'?")


def test_a_broken_package_is_named_and_breaks_nothing_else(ours: str, install: Install) -> None:
    install("broken_shapes", "import nothing_of_that_name\n", blob="BLOB")
    install("fine_shapes", "OVAL = 'oval'\n", oval="OVAL", nothing="ABSENT")
    registry = registry_of(ours)
    (Path(sys.modules[f"{ours}_registry"].__file__ or "").parent / ours / "empty.py").unlink()
    said = (
        r"the shape 'blob' of the installed package 'broken_shapes' cannot be loaded \(ModuleNotFoundError: "
        r"No module named 'nothing_of_that_name'\): mend that package, or uninstall it"
    )
    with pytest.raises(InputError, match=said):
        registry["blob"]
    with pytest.raises(InputError, match=r"the shape 'nothing' of the installed package 'fine_shapes'"):
        registry["nothing"]
    with pytest.warns(RuntimeWarning, match=r"left out: the shape '(blob|nothing)'") as warned:
        working = dict(registry.working())
    assert working == {"square": "SQUARE", "circle": "CIRCLE", "line": "LINE", "oval": "oval"}
    assert len(warned) == 2


def test_two_packages_with_one_name_are_both_named(ours: str, install: Install) -> None:
    install("first_shapes", "HEX = 1\n", hexagon="HEX")
    install("second_shapes", "HEX = 2\n", hexagon="HEX")
    with pytest.raises(InputError, match="offered by the packages first_shapes and second_shapes: uninstall all but"):
        registry_of(ours)["hexagon"]


def test_an_entry_of_the_wrong_kind_is_refused(ours: str, install: Install) -> None:
    def check(entry: object) -> None:
        if not isinstance(entry, str):
            raise TypeError(f"expected a text, found {entry!r}")

    install("wrong_shapes", "SEVEN = 7\n", seven="SEVEN")
    registry: Registry[str] = Registry("shape", package=ours, group=GROUP, check=check, error=SpecError)
    with pytest.raises(SpecError, match=r"'wrong_shapes' cannot be loaded \(TypeError: expected a text, found 7\)"):
        registry["seven"]


def test_files_with_several_entries_are_imported_for_their_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "several_shapes"
    folder.mkdir()
    (folder / "__init__.py").write_text(
        "from llactr.registry import Registry\n"
        "R = Registry('shape', package=__name__, group='test.none', named_by_file=False)\n"
    )
    (folder / "corners.py").write_text("from several_shapes import R\nR.register('a-b', 1)\nR.register('c', 2)\n")
    (folder / "helper.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    __import__("several_shapes")
    registry: Registry[int] = sys.modules["several_shapes"].R
    assert {name: registry[name] for name in registry} == {"a-b": 1, "c": 2}
    assert "helper" not in registry


def test_the_backbones_names_need_no_torch() -> None:
    code = (
        "import sys, types, pathlib, llactr\n"
        "package = types.ModuleType('llactr.ctr')\n"  # its own __init__ hands out the models
        "package.__path__ = [str(pathlib.Path(llactr.__file__).parent / 'ctr')]\n"
        "sys.modules['llactr.ctr'] = package\n"
        "from llactr.ctr.backbones import BACKBONES\n"
        "print(*BACKBONES, BACKBONES.unknown('deepfn'), 'torch' in sys.modules)\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.startswith(
        "fm fwfm fmfm deepfm finalmlp wukong din backbone 'deepfn' is not known: choose one of "
    )
    assert found.stdout.endswith("; did you mean 'deepfm'? False\n")
