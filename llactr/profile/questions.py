"""What a person is asked: only what is unsure, each with what would be taken without an answer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from llactr.profile.found import Roles, Stated
from llactr.profile.keys import key_candidates
from llactr.profile.moments import time_candidates

__all__ = ["Question", "questions_of"]

_CHOICES = 6


@dataclass(frozen=True)
class Question:
    """A question with its choices.

    Attributes:
        about: `label`, `user`, `item`, `time` or `order`.
        text: the question; `default` is taken without an answer.
        choices: what may be answered; another column's name is taken too.
    """

    about: str
    text: str
    default: str
    choices: tuple[str, ...]


def questions_of(roles: Roles, *, label_stated: bool, stated: Stated, order: str) -> Iterator[Question]:
    """The questions that the roles leave open, at most five."""
    label = roles.label
    rivals = [one for one in roles.labels if one.score > label.score - 3 and one is not label]
    if not label_stated and (not label.sure or (rivals and rivals[0].score > 4)):
        choices = [label.words, *(one.words for one in roles.labels if one.words != label.words)][:_CHOICES]
        text = f"What is a click? By {label.words!r} {label.share:.1%} of the rows are ({label.reason})"
        yield Question("label", text, label.words, (*choices,))
    has = [column.name for column in roles.events.columns]
    for owner, role, said in (("user", roles.user, stated.user), ("item", roles.item, stated.item)):
        if said is not None or (role is not None and (role.sure or role.sql)):
            continue
        what = "Who acts" if owner == "user" else "What is acted upon"
        named = [column.name for _, column in key_candidates(roles.events, owner, label, roles.time)]  # type: ignore[arg-type]
        default = role.column if role is not None else "none"
        choices = list(dict.fromkeys([default, *named, *has]))[:_CHOICES]
        why = role.reason if role is not None else "no column's name says it"
        yield Question(owner, f"{what}? ({why})", default, (*choices, "none") if "none" not in choices else (*choices,))
    if stated.time is None and not roles.time.sure:
        named = [column.name for _, column in time_candidates(roles.events)]
        default = roles.time.column or "none"
        choices = list(dict.fromkeys([default, *named, "none"]))[:_CHOICES]
        if len(choices) > 1:
            yield Question("time", f"When did an event happen? ({roles.time.reason})", default, tuple(choices))
    if roles.time.column is None and order == "auto":
        text = "Without a time, how are the rows split? 'file' takes their order for it, 'random' draws"
        yield Question("order", text, "file", ("file", "random"))
