"""Drafts a dataset spec from tables, and says what would spoil a result; checks a spec against its data.

Names are loaded on first use: none of what they need is imported with this package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llactr.lazy import loader

if TYPE_CHECKING:
    from llactr.profile.questions import Question
    from llactr.profile.start import Drafted, StartOptions, start_spec

__all__ = ["Drafted", "Question", "StartOptions", "start_spec"]

__getattr__ = loader(
    __name__, {"Drafted": "start", "Question": "questions", "StartOptions": "start", "start_spec": "start"}
)  # fmt: skip
