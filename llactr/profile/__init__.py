"""Drafts a dataset spec from tables, and says what would spoil a result; checks a spec against its data.

Names are loaded on first use: none of what they need is imported with this package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llactr.lazy import loader

if TYPE_CHECKING:
    from llactr.profile.checking.check import Checked, check_spec
    from llactr.profile.describe_model import descriptions_by_model
    from llactr.profile.options import StartOptions
    from llactr.profile.questions import Question
    from llactr.profile.start import Drafted, start_spec

__all__ = ["Checked", "Drafted", "Question", "StartOptions", "check_spec", "descriptions_by_model", "start_spec"]

__getattr__ = loader(
    __name__,
    {
        "Checked": "checking.check",
        "Drafted": "start",
        "Question": "questions",
        "StartOptions": "options",
        "check_spec": "checking.check",
        "descriptions_by_model": "describe_model",
        "start_spec": "start",
    },
)
