"""The arms of a comparison: what a model is given, and which placebos tell whether that acts by its meaning.

A rival (`lightgbm`) is an arm by its own name; it has no vectors, and no backbone of ours is in it. It may
read the past (`lightgbm history taste`).

An arm's name is what it has and, for a placebo, a word more: `paper` is FRE and FIE, `values` the value vectors that
were encoded (tuned or not), `values untuned` those of the encoder as published, `both` is `paper` and `values`; `both
permuted` hands the same vectors to the wrong fields and values. What an arm reads of the past comes behind what it has
besides (`values history taste`; see `llactr.ctr.history_arms`), and before a placebo, which acts on the items' vectors
that taste reads. JSON and YAML hold arms by their names.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal

from pydantic_core import CoreSchema, core_schema

from llactr.ctr.history_arms import HISTORY_ARMS, HistoryArm
from llactr.errors import InputError
from llactr.evaluation.placebos import PLACEBOS, Placebo
from llactr.evaluation.rivals.kinds import RIVALS

__all__ = ["PLAIN", "TREATMENTS", "Arm", "known_arms", "treatments"]

_PARTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "fre": {"fre": True},
    "fie": {"fie": True},
    "paper": {"fre": True, "fie": True},
    "values": {"values": "encoded"},
    "untuned": {"values": "untuned"},
    "both": {"fre": True, "fie": True, "values": "encoded"},
}
"""What the words of a name stand for; a later word overrides."""


def _parted(name: str) -> tuple[list[str], HistoryArm | None]:
    """The words of a name without its history part, and that part; all words where they make no such part."""
    words = name.split()
    start = next((at for at, word in enumerate(words) if word in {"items", "history"}), None)
    if start is None:
        return words, None
    for end in range(len(words), start, -1):
        past = HISTORY_ARMS.get(" ".join(words[start:end]))
        if past is not None:
            return [*words[:start], *words[end:]], past
    return words, None


@dataclass(frozen=True)
class Arm:
    """What a model is given.

    Attributes:
        fre: field vectors in the representation of features.
        fie: field vectors in the interaction of features.
        values: value vectors as they were encoded last, or of the encoder as published; None for none.
        history: what is read of the past; None for nothing.
        placebo: takes the meaning out of what there is.
        rival: a model that is not ours, one of `llactr.evaluation.rivals`; beside history it is given nothing else.

    Raises:
        InputError: the placebo is not registered, has nothing to act on, or asks for an encoder that it does not have.
    """

    fre: bool = False
    fie: bool = False
    values: Literal["encoded", "untuned"] | None = None
    history: HistoryArm | None = None
    placebo: Placebo | None = None
    rival: str | None = None

    def __post_init__(self) -> None:
        if self.rival is not None and (self.has_fields or self.has_values or self.placebo):
            raise InputError(f"the rival {self.rival!r} takes no vectors and no placebo")
        if self.placebo is None:
            return
        if PLACEBOS.get(self.placebo.name) != self.placebo:
            raise InputError(f"placebo {self.placebo.name!r} is not registered: choose one of {', '.join(PLACEBOS)}")
        if not self._acted_on_by(self.placebo):
            raise InputError(f"arm {str(self)!r} is {str(self.treatment)!r}: there is nothing that its placebo acts on")
        if self.placebo.reads_texts and self.values == "untuned":
            other = replace(self, values="encoded")
            raise InputError(f"arm {str(self)!r} has no encoder that could be tuned or not: say {str(other)!r}")

    @classmethod
    def parse(cls, name: str) -> Arm:
        """The arm of a name.

        Raises:
            InputError: there is none; the message lists what an arm's name may be.
        """
        words, past = _parted(name)
        if any(word not in _PARTS and word not in PLACEBOS for word in words):
            rival = " ".join(words)
            if rival in RIVALS and name == " ".join(filter(None, (rival, str(past or "")))):
                return cls(rival=rival, history=past)
            raise _unknown(name)
        given: dict[str, Any] = {"history": past}
        for word in words:
            given |= {"placebo": PLACEBOS[word]} if word in PLACEBOS else _PARTS[word]
        arm = cls(**given)
        if str(arm) != name:
            raise _unknown(name, str(arm))
        return arm

    @classmethod
    def of(cls, given: Arm | str) -> Arm:
        """An arm, given as itself or by its name."""
        return given if isinstance(given, Arm) else cls.parse(given)

    def __str__(self) -> str:
        if self.rival is not None:
            return f"{self.rival} {self.history}" if self.history else self.rival
        fields = {(True, False): "fre", (False, True): "fie", (True, True): "paper"}.get((self.fre, self.fie))
        if fields == "paper" and self.values:
            words = ["both"]
        else:
            words = [part for part in (fields, "values" if self.values else None) if part]
        words += ["untuned"] if self.values == "untuned" else []
        words += [str(self.history)] if self.history else []
        words = words or ["plain"]
        words += [self.placebo.name] if self.placebo else []
        return " ".join(words)

    @property
    def file_name(self) -> str:
        """The name without spaces."""
        return str(self).replace(" ", "_")

    @property
    def has_fields(self) -> bool:
        """Whether there are field vectors."""
        return self.fre or self.fie

    @property
    def has_values(self) -> bool:
        """Whether there are value vectors."""
        return self.values is not None

    @property
    def as_encoded(self) -> bool:
        """Whether the value vectors are those that were encoded last."""
        return self.values == "encoded" and not (self.placebo and self.placebo.reads_texts)

    @property
    def treatment(self) -> Arm:
        """The arm without its placebo."""
        return replace(self, placebo=None)

    @property
    def is_treatment(self) -> bool:
        """Whether it has vectors, and they have their meaning, or reads the past."""
        given = self.has_fields or self.has_values or self.history is not None
        return given and self.placebo is None and self.rival is None

    @property
    def has_meaning(self) -> bool:
        """Whether there is anything that a placebo can take the meaning out of."""
        return self.has_fields or self.has_values or (self.history is not None and self.history.reads_vectors)

    @property
    def reads_a_person(self) -> bool:
        """Whether it is a model of ours that reads what is the person's own past, whatever the candidate."""
        return self.history is not None and self.history.past == "history" and self.rival is None

    @property
    def without_taste(self) -> Arm:
        """The arm that reads the same past, but for what the person did with items like the candidate."""
        return self if self.history is None else replace(self, history=HistoryArm(self.history.past))

    def _acted_on_by(self, placebo: Placebo) -> bool:
        return placebo.acts_on(fields=self.has_fields, values=self.has_values, history=self.history)

    @property
    def role(self) -> str:
        """What it is there for: `plain`, `treatment`, `rival`, or its placebo's name."""
        if self.rival is not None:
            return "rival"
        if self.placebo:
            return self.placebo.name
        return "treatment" if self.is_treatment else "plain"

    @property
    def placebos(self) -> tuple[Arm, ...]:
        """A treatment's placebos, in the order of arms. One that reads texts is that of tuned vectors."""
        if not self.is_treatment:
            return ()
        fit = [one for one in PLACEBOS.values() if self._acted_on_by(one)]
        found = [
            replace(self, placebo=one, values="encoded" if one.reads_texts and self.values else self.values)
            for one in fit
        ]
        return tuple(sorted(found, key=Arm.place))

    def place(self) -> tuple[int, ...]:
        """Sorts arms: plain, field vectors, value vectors, both; after each arm its placebos; rivals last."""
        if self.rival is not None:
            return (2, _rival_place(self.rival), 1 + list(HISTORY_ARMS).index(str(self.history)) if self.history else 0)
        placebo = 1 + list(PLACEBOS).index(self.placebo.name) if self.placebo else 0
        past = 1 + list(HISTORY_ARMS).index(str(self.history)) if self.history else 0
        vectors = int(self.has_values), int(self.fre) + 2 * int(self.fie), int(self.values == "untuned")
        return int(past > 0), *vectors, past, placebo

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: Any) -> CoreSchema:
        """Read from a name, written as a name."""
        return core_schema.no_info_plain_validator_function(
            _read, serialization=core_schema.plain_serializer_function_ser_schema(str, when_used="always")
        )


PLAIN = Arm()
"""No vectors and no past: what all others are compared with."""

TREATMENTS: tuple[Arm, ...] = tuple(
    Arm.parse(name)
    for name in ("fre", "fie", "paper", "values", "values untuned", "both", "items", "history", "history taste")
)
"""Those with vectors that commands name in their help; others, such as `fre values`, can be asked for as well."""


def known_arms() -> tuple[Arm, ...]:
    """`plain`, the treatments that help texts name, and all placebos of these."""
    found = {PLAIN, *TREATMENTS, *(placebo for arm in TREATMENTS for placebo in arm.placebos)}
    return tuple(sorted(found, key=Arm.place))


def treatments(arms: Iterable[Arm]) -> tuple[Arm, ...]:
    """Those of some arms that are neither plain nor a placebo."""
    return tuple(arm for arm in arms if arm.is_treatment)


@cache
def _rival_place(name: str) -> int:
    return list(RIVALS).index(name)


def _read(given: object) -> Arm:
    if isinstance(given, Arm):
        return given
    if not isinstance(given, str):
        raise ValueError(f"an arm is given by its name, found {given!r}")
    try:
        return Arm.parse(given)
    except InputError as error:
        raise ValueError(str(error)) from None


def _unknown(name: str, meant: str | None = None) -> InputError:
    names = [str(arm) for arm in (PLAIN, *TREATMENTS)]
    near = [meant] if meant else difflib.get_close_matches(name, [*map(str, known_arms()), *RIVALS], n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return InputError(
        f"arm {name!r} is not known: choose {', '.join(names)}, or one with vectors and a placebo after it: "
        f"{', '.join(PLACEBOS)}{hint or '.'} Rivals are {', '.join(RIVALS)}"
    )
