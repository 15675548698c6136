"""`llactr init`: drafts a spec from tables; with `--check` lists what is wrong with one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from llactr.errors import LlactrError
from llactr.profile import Checked, Drafted, Question, StartOptions, check_spec, descriptions_by_model, start_spec
from llactr.spec import DatasetSpec, find_spec
from llactr.steps import Job
from llactr.store.feast.lean import lean_feast
from llactr.store.repository.ingest import repository_problems
from llactr.store.repository.place import named_repository, repository_of_spec

__all__ = ["check", "describe", "describe_check", "run"]


def run(
    job: Job,
    tables: Sequence[str],
    options: StartOptions,
    *,
    ask: Callable[[Question], str] | None = None,
    model: str | None = None,
    repository: Path | None = None,
) -> Drafted:
    """Drafts the spec of some tables and writes it; `ask` answers what is unsure, without it the likeliest is taken.

    `model` names a causal language model that drafts the descriptions; `repository` is a Feast repository of your own,
    whose features become fields.

    Raises:
        DataError: a table cannot be read, or holds nothing that can be predicted.
        InputError: an option names what is not there, or the spec is there already.
    """
    with job.terminal.step("init") as advance:
        describe = (lambda draft: descriptions_by_model(draft, model)) if model else None
        if repository is not None:
            named_repository(repository)  # before Feast is imported
            lean_feast()
            from llactr.store.repository.draft import draft_from_repository

            drafted = draft_from_repository(repository, tables, options, ask=ask, describe=describe, model=model or "")
        else:
            drafted = start_spec(tables, options, ask=ask, describe=describe, model=model or "")
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


def check(job: Job, spec: str, *, data_folder: Path | None = None) -> Checked:
    """Lists all that is wrong with a spec and with its data, nothing of it ingested.

    Raises:
        SpecError: there is no such spec, or it is no YAML.
    """
    with job.terminal.step("check") as advance:
        checked = check_spec(find_spec(spec), data_folder, also=_of_repository)
        advance(1, 1, f"{len(checked.wrong)} wrong, {len(checked.doubts)} doubtful")
    return checked


def _of_repository(spec: DatasetSpec, folder: Path) -> dict[str, str]:
    """What is wrong with the fields that are features of the user's own Feast repository."""
    try:
        return repository_problems(spec, repository_of_spec(spec, folder))
    except LlactrError as error:
        return {field.name: str(error) for field in spec.repository_fields[:1]}


def describe_check(checked: Checked) -> str:
    """What is wrong, a line each; what is doubtful, likewise."""
    lines = [f"wrong: {text}" for text in checked.wrong] + [f"doubt: {text}" for text in checked.doubts]
    if checked.wrong:
        return "\n".join([*lines, f"{checked.spec} cannot be ingested: {len(checked.wrong)} to mend"])
    read = f"{checked.rows:,} rows would be ingested" if checked.rows is not None else "its data were not read"
    return "\n".join([*lines, f"{checked.spec} is right by itself; {read}"])
