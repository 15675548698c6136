"""Receipts of forgetting: what was removed where, without a word that says who was forgotten.

`forgotten/DATASET/000001.json`. A receipt is begun before the first row goes and holds, until it is done, a salted
digest of the keys: the same command after a kill goes on with it. The file `cleared` beside it holds the number up to
which running services are to drop what they hold in memory.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from llactr.atomic import write_text
from llactr.errors import DataError
from llactr.workspace import Workspace

__all__ = ["Receipt", "Retrained", "announce_cleared", "begin_receipt", "cleared_up_to", "receipts"]

_NAME = re.compile(r"\d{6}\.json")


class Retrained(BaseModel):
    """What was trained on the rows that are left, and what is served since.

    Attributes:
        bundle: that was trained, anew and on no row of the forgotten.
        champion: after it was held against the champion before; None where nothing was ever promoted.
        because: how it went, a gate each.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    bundle: str
    champion: str | None
    because: tuple[str, ...]

    @property
    def is_served(self) -> bool:
        """Whether it took the champion's place."""
        return self.bundle == self.champion


class Receipt(BaseModel):
    """What one forgetting did.

    Attributes:
        number: of the dataset's receipts, from 1.
        users: how many keys were given.
        removed: place -> rows, values or artifacts that went.
        had_seen: artifacts that may have learned from these users' rows, as they were when it began.
        left: what was not touched, and why.
        done: whether all of it was done; `salt` and `digest` are empty then.
        retrained: the bundle that was trained without them afterwards, and the champion since; None where none was.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    number: int
    dataset: str
    users: int
    begun: datetime
    ended: datetime | None = None
    removed: dict[str, int] = {}
    had_seen: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    done: bool = False
    salt: str = ""
    digest: str = ""
    retrained: Retrained | None = None

    def with_removed(self, found: Mapping[str, int]) -> Receipt:
        """The receipt after more was removed."""
        more = {name: self.removed.get(name, 0) + count for name, count in found.items() if count}
        return self.model_copy(update={"removed": self.removed | more})

    def finished(self, left: Collection[str]) -> Receipt:
        """The receipt of a forgetting that is done."""
        return self.model_copy(
            update={"done": True, "ended": datetime.now(UTC), "salt": "", "digest": "", "left": tuple(left)}
        )

    def save(self, workspace: Workspace) -> Path:
        """Writes the receipt."""
        path = _folder(workspace, self.dataset) / f"{self.number:06d}.json"
        write_text(path, self.model_dump_json(indent=1) + "\n")
        return path


def receipts(workspace: Workspace, dataset: str) -> list[Receipt]:
    """All receipts of a dataset, oldest first.

    Raises:
        DataError: one cannot be read.
    """
    found = []
    for path in sorted(_folder(workspace, dataset).glob("*.json")):
        if not _NAME.fullmatch(path.name):
            continue
        try:
            found.append(Receipt.model_validate_json(path.read_text(encoding="utf-8")))
        except (OSError, ValidationError, json.JSONDecodeError) as error:
            raise DataError(
                f"the receipt {path} cannot be read ({type(error).__name__}): restore it from a copy, or remove it"
            ) from None
    return found


def begin_receipt(workspace: Workspace, dataset: str, keys: Collection[str], had_seen: Collection[str]) -> Receipt:
    """A receipt for some keys: the one that a killed command began for the same ones, or a new one."""
    known = receipts(workspace, dataset)
    for one in known:
        if not one.done and one.digest == _digest(one.salt, keys):
            both = one.model_copy(update={"had_seen": tuple(dict.fromkeys([*one.had_seen, *had_seen]))})
            both.save(workspace)
            return both
    salt = secrets.token_hex(16)
    made = Receipt(
        number=max((one.number for one in known), default=0) + 1,
        dataset=dataset,
        users=len(set(keys)),
        begun=datetime.now(UTC),
        had_seen=tuple(had_seen),
        salt=salt,
        digest=_digest(salt, keys),
    )
    made.save(workspace)
    return made


def announce_cleared(workspace: Workspace, dataset: str, number: int) -> None:
    """Has running services drop what they hold in memory, and load their bundle anew."""
    write_text(_folder(workspace, dataset) / "cleared", f"{number}\n")


def cleared_up_to(workspace: Workspace, dataset: str) -> int:
    """The number announced last; 0 before the first."""
    try:
        return int((_folder(workspace, dataset) / "cleared").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return 0


def _digest(salt: str, keys: Collection[str]) -> str:
    return hashlib.sha256("\x1f".join([salt, *sorted(set(keys))]).encode()).hexdigest()


def _folder(workspace: Workspace, dataset: str) -> Path:
    return workspace.root / "forgotten" / dataset
