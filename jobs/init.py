"""`llactr init`: drafts a spec from tables; with `--check` lists what is wrong with one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llactr.profile import Drafted, Question, StartOptions, start_spec
from llactr.steps import Job

__all__ = ["describe", "run"]


def run(
    job: Job, tables: Sequence[str], options: StartOptions, *, ask: Callable[[Question], str] | None = None
) -> Drafted:
    """Drafts the spec of some tables and writes it; `ask` answers what is unsure, without it the likeliest is taken.

    Raises:
        DataError: a table cannot be read, or holds nothing that can be predicted.
        InputError: an option names what is not there, or the spec is there already.
    """
    with job.terminal.step("init") as advance:
        drafted = start_spec(tables, options, ask=ask)
        advance(1, 1, f"{drafted.rows:,} rows, {len(drafted.kinds)} fields, {len(drafted.left_out)} columns left out")
    return drafted


def describe(drafted: Drafted) -> str:
    """What a person wants to know: what was taken for what, what may spoil the result, what comes next."""
    marked = f"{drafted.checks} line{'' if drafted.checks == 1 else 's'} marked '# check'"
    lines = [
        f"{drafted.spec}: {drafted.rows:,} rows, {drafted.positives:.1%} clicks, {len(drafted.kinds)} fields, {marked}",
        f"click    {drafted.label}",
        f"time     {drafted.time or 'none: the order of the rows'}",
        f"user     {drafted.user or 'none'}",
        f"item     {drafted.item or 'none'}",
        *(f"warning: {text}" for text in drafted.findings),
        *(f"note: {text}" for text in drafted.costs),
        f"next: read it, then 'llactr run {drafted.spec}'",
    ]
    return "\n".join(lines)
