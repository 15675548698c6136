"""The arms of a comparison: what a model is given, and which placebos tell whether that acts by its meaning.

A placebo has its treatment's name and a word more: `permuted` hands the same vectors to the wrong fields or values,
`random` replaces them by noise of the same norm, `words` replaces value vectors by a bag of words of the same texts.
"""

from __future__ import annotations

from typing import Literal, cast, get_args

__all__ = [
    "ARMS", "PLACEBOS", "Arm", "Role", "base", "control_of", "has_fields", "has_values", "is_cold", "is_tuned",
    "placebos_of", "role", "treatments",
]  # fmt: skip

Arm = Literal[
    "plain",
    "plain cold",
    "fre",
    "fre permuted",
    "fre random",
    "fie",
    "fie permuted",
    "fie random",
    "paper",
    "paper permuted",
    "paper random",
    "values",
    "values permuted",
    "values random",
    "values words",
    "values untuned",
    "values untuned permuted",
    "values untuned random",
    "values cold",
    "values cold permuted",
    "values cold random",
    "both",
    "both permuted",
    "both random",
    "both words",
]
"""`paper` is FRE and FIE; `values` the collaboratively tuned value vectors, `untuned` the encoder's own; `both` is
`paper` and `values`; `cold` trains with cold starts (`llactr.ctr.training.cold_start`)."""

Role = Literal["plain", "treatment", "permuted", "random", "words"]

ARMS: tuple[Arm, ...] = get_args(Arm)
PLACEBOS: tuple[Role, ...] = ("permuted", "random", "words")


def role(arm: Arm) -> Role:
    """What an arm is there for; `plain cold` is plain."""
    last = arm.rsplit(" ", 1)[-1]
    if last in PLACEBOS:
        return last
    return "plain" if arm.startswith("plain") else "treatment"


def base(arm: Arm) -> Arm:
    """The arm without its placebo."""
    return cast(Arm, arm.rsplit(" ", 1)[0]) if role(arm) in PLACEBOS else arm


def treatments(arms: tuple[Arm, ...]) -> tuple[Arm, ...]:
    """Those of some arms that are neither plain nor a placebo."""
    return tuple(arm for arm in arms if role(arm) == "treatment")


def placebos_of(arm: Arm) -> tuple[Arm, ...]:
    """A treatment's placebos. A bag of words has no encoder: that of `values` is that of `values untuned` as well."""
    names = [f"{arm} {kind}" for kind in PLACEBOS]
    if arm == "values untuned":
        names.append("values words")
    return tuple(known for known in ARMS if known in names)


def control_of(arm: Arm) -> Arm:
    """What a treatment is to be compared with: the same training without vectors."""
    return "plain cold" if is_cold(arm) else "plain"


def has_fields(arm: Arm) -> bool:
    """Whether an arm has field vectors."""
    return base(arm) in {"fre", "fie", "paper", "both"}


def has_values(arm: Arm) -> bool:
    """Whether an arm has value vectors."""
    return arm.startswith(("values", "both"))


def is_tuned(arm: Arm) -> bool:
    """Whether an arm's value vectors come from the collaboratively tuned encoder."""
    return has_values(arm) and "untuned" not in arm and role(arm) != "words"


def is_cold(arm: Arm) -> bool:
    """Whether an arm is trained with cold starts."""
    return "cold" in arm
