"""Which bundle a name means: the one rule for every command that takes `--bundle`."""

from __future__ import annotations

import json
import re
from pathlib import Path

from llactr.errors import BundleError, NotReadyError
from llactr.steps import Step
from llactr.workspace import Workspace

__all__ = ["champion_of", "find_bundle", "promotion_files"]

_NUMBERED = re.compile(r"\d{6,}\.json")


def promotion_files(workspace: Workspace, dataset: str) -> list[Path]:
    """The records of a dataset's promotions, oldest first; see `llactr.lifecycle.promotions`."""
    folder = workspace.root / "promotions" / dataset
    return sorted((path for path in folder.glob("*.json") if _NUMBERED.fullmatch(path.name)), key=_number)


def _number(path: Path) -> int:
    return int(path.stem)


def champion_of(workspace: Workspace, dataset: str) -> str | None:
    """The id of the bundle that was promoted last; None where none ever was.

    Raises:
        BundleError: the record of the last promotion cannot be read.
    """
    records = promotion_files(workspace, dataset)
    if not records:
        return None
    try:
        return str(json.loads(records[-1].read_text(encoding="utf-8"))["champion"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BundleError(
            f"the record of the last promotion, {records[-1]}, cannot be read ({type(error).__name__}): restore it "
            "from a copy, or remove it, so that the one before it holds"
        ) from None


def find_bundle(workspace: Workspace, dataset: str, name: str | None = None) -> Path:
    """The folder of a bundle; what is in it is not looked at.

    - No name: the bundle of the dataset that was promoted last; where none ever was, the one trained last.
    - A bare name, such as `shop-fm-plain-3f2a`: the workspace's bundle of that id; where there is none, a folder of
      that name in the working directory. Where both are there, and differ, the name is refused.
    - Anything with a separator, such as `./shop-fm-plain-3f2a`, `~/bundles/best`, or an absolute path: that folder.

    Args:
        workspace: holds bundles by id.
        dataset: the dataset whose bundle is meant without a name.
        name: an id, or a path relative to the working directory.

    Raises:
        NotReadyError: there is no name, and nothing has been trained.
        BundleError: there is none of that name, or there are two; or the promoted one is gone.
    """
    champion = champion_of(workspace, dataset) if name is None else None
    if champion is not None:
        folder = workspace.artifact("bundles", champion)
        if not folder.is_dir():
            raise BundleError(
                f"the bundle {champion!r}, which was promoted last, is gone: run 'llactr rollback', or promote another"
            )
        return folder
    if name is None:
        latest = workspace.current(dataset).get(Step.TRAIN)
        if latest is None:
            raise NotReadyError(
                f"no bundle of {dataset!r} in {workspace.root}: run 'llactr train' first, or give --bundle"
            )
        return latest
    here = Path(name).expanduser().absolute()
    known = workspace.artifact("bundles", name)
    is_id = name != "" and Path(name).name == name and not name.startswith("~") and known.is_dir()
    is_folder = bool(name) and here.is_dir()
    if is_id and is_folder and not known.samefile(here):
        raise BundleError(
            f"bundle {name!r} is two: {known} in the workspace and the folder {here}: give the path of the one meant"
        )
    if is_id:
        return known
    if is_folder:
        return here
    ids = ", ".join(sorted(path.name for path in (workspace.root / "bundles").glob("[!.]*"))) or "none"
    raise BundleError(f"no bundle {name!r}: give a folder, or an id under {workspace.root / 'bundles'}: {ids}")
