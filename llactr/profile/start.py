"""From tables to a spec file: profiled, asked about, drafted, its tables written, and read back."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb

from llactr import atomic
from llactr.errors import DataError, InputError
from llactr.objects import refuse_place
from llactr.profile.drafting.spec import draft_spec
from llactr.profile.drafting.work import Draft, Order
from llactr.profile.facts import columns_of
from llactr.profile.found import Profile, Roles, Stated
from llactr.profile.labels import Label
from llactr.profile.names import spec_name
from llactr.profile.questions import Question, questions_of
from llactr.profile.reading import SAMPLE_ROWS, Opened, open_tables
from llactr.profile.roles import find_roles
from llactr.profile.spec_yaml import spec_yaml, tables_folder
from llactr.profile.stated import one_sided, stated_label
from llactr.spec import load_spec
from llactr.sql import connect, quote_identifier, quote_literal
from llactr.steps import StepResult

__all__ = ["Ask", "Describe", "Drafted", "StartOptions", "start_spec"]

Describe = Callable[[Draft], Mapping[str, str]]
Ask = Callable[[Question], str]
Amend = Callable[[Draft, Sequence[str], duckdb.DuckDBPyConnection], Draft]
_MEMORY = "2GB"
_ROW_GROUP_CELLS = 20_000_000


@dataclass(frozen=True)
class StartOptions:
    """What a person says beside the tables; None where it is to be found out.

    Attributes:
        out: the spec's file.
        label: a column, `column > number`, `column = value`, or `none` where every row is a choice.
        user: a column of the events, or `none`; likewise `item` and `time`.
        order: of rows without a time.
        keep: columns that become fields although something speaks against them.
        force: replace a spec and its tables.
    """

    out: Path
    name: str | None = None
    events: str | None = None
    label: str | None = None
    user: str | None = None
    item: str | None = None
    time: str | None = None
    zone: str = "UTC"
    order: Order = "auto"
    seed: int = 0
    keep: tuple[str, ...] = ()
    force: bool = False
    sample_rows: int = SAMPLE_ROWS


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
    _refuse_overwriting(options)
    with (
        tempfile.TemporaryDirectory(prefix="llactr-") as spilled,
        connect(memory_limit=_MEMORY, temporary=Path(spilled)) as connection,
    ):
        tables = open_tables(connection, places, sample_rows=options.sample_rows)
        _refuse_empty(tables)
        profiles = [Profile(table, tuple(columns_of(connection, table))) for table in tables]
        stated = _stated(profiles, options)
        roles = find_roles(connection, profiles, stated)
        roles = _with_label(roles, options.label)
        if options.label is not None:
            roles = find_roles(connection, profiles, replace(stated, events=roles.events.table.name, label=roles.label))
        _refuse_unknown(roles, options)
        held, order = list(options.keep), options.order
        if ask is not None:
            roles, held, order = _asked(connection, profiles, stated, roles, options, ask)
        _refuse_labelless(roles, stated=options.label is not None)
        name = spec_name(options.name or _dataset_name(options.out, roles))
        made = draft_spec(
            connection, profiles, roles, name=name, zone=options.zone, order=order, seed=options.seed, held=held
        )
        if amend is not None:
            made = amend(made, [column.name for column in roles.events.columns], connection)
        _refuse_hopeless(made)
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


def _refuse_overwriting(options: StartOptions) -> None:
    if options.out.suffix not in {".yaml", ".yml"}:
        raise InputError(f"--out is {str(options.out)!r}: give the name of a .yaml file")
    if options.force:
        return
    for path in (options.out, tables_folder(options.out)):
        if path.exists():
            raise InputError(f"{path} is there already: give another --out, or --force to replace it")


def _stated(profiles: Sequence[Profile], options: StartOptions) -> Stated:
    names = [one.table.name for one in profiles]
    events = options.events
    if events is not None:
        by_file = {path.name: one.table.name for one in profiles for path in one.table.files}
        by_file |= {path.stem: one.table.name for one in profiles for path in one.table.files}
        events = events if events in names else by_file.get(Path(events).name)
        if events is None:
            raise InputError(f"--events is {options.events!r}: the tables are {', '.join(names)}")
    return Stated(events=events, time=options.time, user=options.user, item=options.item)


def _with_label(roles: Roles, text: str | None) -> Roles:
    if text is None:
        return roles
    try:
        return replace(roles, label=stated_label(text, roles.events.columns))
    except ValueError as error:
        raise InputError(str(error)) from None


def _refuse_unknown(roles: Roles, options: StartOptions) -> None:
    has = [column.name for column in roles.events.columns]
    for flag, name in (("--user", options.user), ("--item", options.item), ("--time", options.time)):
        if name is not None and name != "none" and name not in has:
            raise InputError(
                f"{flag} is {name!r}: the events in {roles.events.table.name!r} have {', '.join(has)}, or say none"
            )


def _refuse_empty(tables: Sequence[Opened]) -> None:
    for table in tables:
        if not table.rows:
            raise DataError(f"{table.files[0]} has names of columns and no rows: give a table with rows")


def _refuse_labelless(roles: Roles, *, stated: bool) -> None:
    found = one_sided(roles.events.columns) if roles.label.kind == "chosen" and not stated else None
    if found is not None:
        raise DataError(f"{found[1]}; or say --label none where every row is a choice")
    if roles.label.kind == "chosen" and roles.item is None:
        has = ", ".join(column.name for column in roles.events.columns)
        raise DataError(
            "no column tells what was a click, and none says which thing was chosen: say one of them by --label (as in "
            f"'bought', 'stars > 3', 'action = buy') or --item; {roles.events.table.name!r} has {has}"
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
    return _with_label(roles, answer).label


def _refuse_hopeless(draft: Draft) -> None:
    if draft.rows == 0:
        raise DataError("no row has a label, its keys and a moment: say the columns by --label, --user, --item, --time")
    if draft.positives in {0.0, 1.0}:
        raise DataError(
            f"by the label rule {draft.label} all {draft.rows:,} rows are"
            f" {'clicks' if draft.positives else 'no clicks'}: say another one by --label"
        )
    if len(draft.fields) < 2:
        raise DataError(
            f"a spec needs two fields, and {_few(draft)}: give a table with more columns, or say --keep COLUMN"
            + "".join(f"; {one.column}: {one.reason}" for one in draft.left_out if one.column)[:600]
        )


def _few(draft: Draft) -> str:
    return f"only {draft.fields[0].name!r} can be one" if draft.fields else "no column can be one"


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
