"""From tables to a spec file: profiled, asked about, drafted, its tables written, and read back."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import duckdb

from llactr import atomic
from llactr.errors import DataError, InputError
from llactr.objects import refuse_place
from llactr.profile.click_rule import Label
from llactr.profile.drafting.spec import draft_spec
from llactr.profile.drafting.work import Draft, Order
from llactr.profile.facts import columns_of
from llactr.profile.found import Profile, Roles, Stated
from llactr.profile.headers import with_headers
from llactr.profile.names import spec_name
from llactr.profile.options import StartOptions, refuse_kept, refuse_options, stated_of, with_label
from llactr.profile.properties import with_properties
from llactr.profile.questions import Question, questions_of
from llactr.profile.reading import open_tables
from llactr.profile.refusals import refuse_empty, refuse_hopeless, refuse_labelless, refuse_roles
from llactr.profile.roles import find_roles
from llactr.profile.spec_yaml import spec_yaml, tables_folder
from llactr.spec import load_spec
from llactr.sql import connect, quote_identifier, quote_literal
from llactr.steps import StepResult

__all__ = ["Ask", "Describe", "Drafted", "StartOptions", "start_spec"]

Describe = Callable[[Draft], Mapping[str, str]]
Ask = Callable[[Question], str]
Amend = Callable[[Draft, Sequence[str], duckdb.DuckDBPyConnection], Draft]
_MEMORY = "2GB"
_ROW_GROUP_CELLS = 20_000_000


class Drafted(StepResult):
    """What was drafted.

    Attributes:
        spec: the file; `tables` were written beside it.
        kinds: field name -> kind; `owners` likewise.
        label: the rule, in short.
        checks: lines of the spec marked `# check`.
        left_out: table.column -> why no field reads it.
        findings: what may spoil the result; `costs` what the data do not allow.
    """

    spec: str
    dataset: str
    tables: tuple[str, ...]
    rows: int
    positives: float
    label: str
    time: str | None
    user: str | None
    item: str | None
    kinds: dict[str, str]
    owners: dict[str, str]
    checks: int
    left_out: dict[str, str]
    findings: tuple[str, ...]
    costs: tuple[str, ...]


def start_spec(
    places: Sequence[str], options: StartOptions, *, ask: Ask | None = None, describe: Describe | None = None,
    model: str = "", amend: Amend | None = None,
) -> Drafted:  # fmt: skip
    """Drafts a spec from tables and writes it, with the tables that a spec cannot read as they stand.

    Args:
        places: the tables; see `open_tables`.
        options: what is known already.
        ask: answers questions about what is unsure; None takes what seems likeliest.
        describe: field name -> description, of a draft; by rules unless given.
        model: what `describe` is, for the comment.
        amend: changes the draft, given the columns of the events and the connection that holds their rows (see
            `llactr.profile.drafting.rows.prepared`), before it is described and written.

    Raises:
        DataError: a table cannot be read, or nothing can be predicted from the tables.
        InputError: an option names a column that is not there, or the spec is there already.
    """
    if not places:
        raise InputError("name the tables to draft a spec from: Parquet, CSV, JSON or DuckDB files")
    refuse_options(options)
    with (
        tempfile.TemporaryDirectory(prefix="llactr-") as spilled,
        connect(memory_limit=_MEMORY, temporary=Path(spilled)) as connection,
    ):
        tables = open_tables(connection, places, sample_rows=options.sample_rows)
        refuse_empty(tables)
        profiles = [Profile(table, tuple(columns_of(connection, table))) for table in tables]
        profiles = with_properties(connection, profiles, sample_rows=options.sample_rows)
        if amend is None:  # else it may be a feature, or a key of the repository
            refuse_kept(profiles, options)
        stated = stated_of(profiles, options)
        roles = find_roles(connection, profiles, stated)
        roles = with_label(roles, options.label)
        if options.label is not None:
            stated = replace(stated, events=roles.events.table.name, label=roles.label)
            roles = find_roles(connection, profiles, stated)
        profiles, roles = with_headers(connection, profiles, roles, stated)
        refuse_roles(roles)
        held, order = list(options.keep), options.order
        if ask is not None:
            roles, held, order = _asked(connection, profiles, stated, roles, options, ask)
            refuse_roles(roles)
        refuse_labelless(roles, stated=options.label is not None)
        name = spec_name(options.name or _dataset_name(options.out, roles))
        made = draft_spec(
            connection, profiles, roles, name=name, zone=options.zone, order=order, seed=options.seed, held=held
        )
        if amend is not None:
            made = amend(made, [column.name for column in roles.events.columns], connection)
        refuse_hopeless(made, roles)
        described = describe(made) if describe is not None else {}
        text = spec_yaml(made, options.out, described_by=described, model=model)
        written = _write(connection, made, options.out, text)
    return _result(made, roles, options.out, written, text)


def _dataset_name(out: Path, roles: Roles) -> str:
    generic = {"spec", "data", "dataset", "llactr", "init", "draft"}
    if out.stem.lower() not in generic:
        return out.stem
    folder = roles.events.table.files[0].absolute().parent.name
    return (
        folder
        if re.search(r"[a-z]", folder.lower()) and folder.lower() not in {"tmp", "data", ""}
        else roles.events.table.name
    )


def _asked(
    connection: duckdb.DuckDBPyConnection, profiles: Sequence[Profile], stated: Stated, roles: Roles,
    options: StartOptions, ask: Ask,
) -> tuple[Roles, list[str], Order]:  # fmt: skip
    """The roles after a person has answered what is unsure; columns to keep; the order of rows without time."""
    held, order = list(options.keep), options.order
    said = replace(stated, events=roles.events.table.name, label=roles.label)
    for question in questions_of(roles, label_stated=options.label is not None, stated=stated, order=order):
        answer = ask(question)
        if answer == question.default:
            continue
        if question.about == "label":
            said = replace(said, label=_label_of(answer, roles))
        elif question.about == "order":
            order = "random" if answer == "random" else "file"
        elif question.about == "user":
            said = replace(said, user=answer)
        elif question.about == "item":
            said = replace(said, item=answer)
        else:
            said = replace(said, time=answer)
        roles = find_roles(connection, profiles, said)
    return roles, held, order


def _label_of(answer: str, roles: Roles) -> Label:
    known = {label.words: label for label in roles.labels}
    if answer in known:
        return replace(known[answer], score=10.0)
    return with_label(roles, answer).label


def _write(connection: duckdb.DuckDBPyConnection, draft: Draft, out: Path, text: str) -> tuple[str, ...]:
    """Writes the tables, then the spec once it reads back; nothing is left of either when one fails."""
    refuse_place(out, "the place to write to")
    atomic.make_folder(out.absolute().parent)
    queries = {source.name: source.query for source in draft.sources if source.query}
    folder = tables_folder(out)
    if queries:
        _forget_samples(connection)
        with atomic.writing_folder(folder) as drafted:
            statements = []
            for name, query in queries.items():
                target = drafted / f"{name}.parquet"
                try:
                    connection.execute(f"COPY ({query}) TO {quote_literal(str(target))} ({_as_parquet(draft)})")
                except duckdb.Error as error:
                    reason = str(error).strip().splitlines()[0][:300]
                    raise DataError(
                        f"the table {name!r} cannot be written ({reason}): check the files of {name!r}"
                    ) from None
                statements.append(f"COPY ({query})\nTO '{name}.parquet' (FORMAT parquet, COMPRESSION zstd);\n")
            (drafted / "tables.sql").write_text(_SQL_HEAD + "\n".join(statements), encoding="utf-8")
    with atomic.writing_file(out) as drafted:
        drafted.write_text(text, encoding="utf-8", newline="\n")
        load_spec(drafted)
    return tuple(f"{folder.name}/{name}.parquet" for name in queries)


def _as_parquet(draft: Draft) -> str:
    """Row groups of a wide table are short: all columns of one are held in memory."""
    rows = max(2048, min(122_880, _ROW_GROUP_CELLS // max(len(draft.fields), 1)))
    return f"FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {rows}"


def _forget_samples(connection: duckdb.DuckDBPyConnection) -> None:
    """Lets go of the samples, which no written table is made of: those of wide tables take most of the memory."""
    for (name,) in connection.execute(
        "SELECT table_name FROM duckdb_tables() WHERE NOT internal AND database_name = 'memory'"
    ).fetchall():
        connection.execute(f"DROP TABLE {quote_identifier(name)}")


_SQL_HEAD = (
    "-- How llactr init wrote these tables (DuckDB): the same for new rows, before 'llactr ingest --append'.\nSET"
    " TimeZone = 'UTC';\n\n"
)


def _result(draft: Draft, roles: Roles, out: Path, written: tuple[str, ...], text: str) -> Drafted:
    return Drafted(
        spec=str(out),
        dataset=draft.name,
        tables=written,
        rows=draft.rows,
        positives=round(draft.positives, 6),
        label=roles.label.words,
        time=roles.time.column,
        user=draft.entities.get("user", {}).get("join_key"),
        item=draft.entities.get("item", {}).get("join_key"),
        kinds={one.name: one.kind for one in draft.fields},
        owners={one.name: one.owner for one in draft.fields},
        checks=sum("# check" in line for line in text.splitlines()[1:]),
        left_out={f"{one.table}.{one.column}".rstrip("."): one.reason for one in draft.left_out},
        findings=draft.findings,
        costs=draft.costs,
    )
