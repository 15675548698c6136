"""A spec drafted from tables: every column a field or left out, each with its reason, and how its tables are read."""

from __future__ import annotations

from collections.abc import Sequence

import duckdb

from llactr.profile.drafting.fields import context_fields, entity_fields
from llactr.profile.drafting.rows import prepared
from llactr.profile.drafting.sources import draft_sources, written_name
from llactr.profile.drafting.work import Draft, FieldDraft, LeftOut, Order, Work
from llactr.profile.found import Profile, Roles
from llactr.profile.spoilers import SplitCounts, repeated_rows, split_counts

__all__ = ["draft_spec"]


def draft_spec(
    connection: duckdb.DuckDBPyConnection,
    profiles: Sequence[Profile],
    roles: Roles,
    *,
    name: str,
    zone: str = "UTC",
    order: Order = "auto",
    seed: int = 0,
    held: Sequence[str] = (),
) -> Draft:
    """Drafts the spec of tables whose roles are known.

    Args:
        connection: holds the samples; gets a table of the sample's events.
        profiles: of all tables.
        roles: what they are to each other.
        name: of the dataset.
        zone: of moments that tell none.
        order: of rows without a time: as the file has them, at random by `seed`, or at random only where the order of
            the file would leave a split with one class.
        held: columns to keep although something speaks against them.
    """
    work = prepared(connection, roles, zone, order, seed)
    entity_fields(work, "user", set(held))
    entity_fields(work, "item", set(held))
    context_fields(work, set(held))
    if work.late:
        listed = ", ".join(map(repr, work.late))
        work.findings.append(f"by their names {listed} are known only after the event: they are left out")
    if work.means:
        work.findings.append(
            f"{', '.join(work.means)} may count the very ratings that are to be foretold, later ones too: leave out "
            "what does"
        )
    _explain(work)
    counts = _splits(work)
    _unused(work, profiles)
    sources, timestamp, label, entities = draft_sources(work, seed)
    return Draft(
        name=name,
        description=_about(work),
        sources=tuple(sources),
        events=sources[0].name,
        timestamp=timestamp,
        label=label,
        entities={owner: entity for owner, entity in entities.items()},  # noqa: C416  # of any owner
        fields=tuple(_ordered(work.fields)),
        left_out=tuple(work.left),
        notes=work.notes,
        unsure=frozenset(work.unsure),
        findings=tuple(dict.fromkeys(work.findings)),
        costs=tuple(work.costs),
        nouns=work.nouns,
        rows=sum(counts.rows),
        positives=sum(counts.clicks) / max(sum(counts.rows), 1),
    )


def _explain(work: Work) -> None:
    """Why the label and the time are what they are."""
    label, time = work.roles.label, work.roles.time
    work.notes["label"] = f"{label.words}: {label.reason}; {label.share:.1%} clicks"
    others = [one.words for one in work.roles.labels if one.words != label.words and one.score > 2][:3]
    if others and not label.sure:
        work.notes["label"] += f"; it might be {' or '.join(others)} instead"
    if not label.sure:
        work.unsure.add("label")
    told = [one for one in work.roles.labels if one.kind in {"column", "equals"} and one.column not in work.late]
    if label.kind == "chosen" and label.reason != "as stated" and told:
        named = " or ".join(repr(one.words) for one in told[:3])
        work.costs.append(f"if {named} tells what was a click, say so by --label")
    if label.kind == "chosen" and label.reason != "as stated":
        kinds = {"type", "action", "behavior", "behaviour", "event", "interaction"}
        coded = [c for c in work.roles.events.columns if c.type == "integer" and 2 < c.distinct <= 10
                 and "type" in c.words and (set(c.words[-2:]) <= kinds)]  # fmt: skip
        work.costs += [
            f"{c.name!r} holds codes of kinds of events, of which nobody says what they mean: if one of them is the "
            f"click, say so, as by --label '{c.name} = {c.top[-1][0]}'"
            for c in coded
        ]
    work.notes["timestamp"] = time.reason
    if not time.sure or (not time.zoned and time.unit is None and time.column is not None):
        work.unsure.add("timestamp")


def _ordered(fields: Sequence[FieldDraft]) -> list[FieldDraft]:
    rank = {"user": 0, "item": 1, "context": 2}
    return sorted(fields, key=lambda one: rank[one.owner])


def _splits(work: Work) -> SplitCounts:
    total = work.roles.events.table.rows
    found = work.connection.execute("SELECT count(*) FROM rows_of_sample").fetchone()
    sample = found[0] if found else 0
    raw = work.connection.execute(f"SELECT count(*) FROM {work.roles.events.table.sample}").fetchone()
    scale = total / max(raw[0] if raw else 1, 1)
    counts = split_counts(
        work.connection, "rows_of_sample", label=work.label, time=work.moment, train=0.8, validation=0.1,
        total=round(sample * scale) if work.roles.label.kind != "counts" else sample,
    )  # fmt: skip
    work.findings += counts.troubles()
    key_names = [role.name if role.name in work.rows.made else role.column
                 for role in (work.roles.user, work.roles.item) if role]  # fmt: skip
    columns = tuple(dict.fromkeys([*key_names, *([work.roles.time.column] if work.roles.time.column else []),
                                   *([work.roles.time.clock] if work.roles.time.clock else [])]))  # fmt: skip
    if len(key_names) == 2 and work.roles.time.column is not None:
        twice = repeated_rows(work.connection, "rows_of_sample", columns)
        if twice > 0.001 * sample:
            work.findings.append(
                f"{twice:,} of {sample:,} rows looked at repeat an earlier row's person, thing and moment"
            )
    for role, what in ((work.roles.user, "user"), (work.roles.item, "item")):
        if role is not None and role.join is not None:
            if role.join.respelled:
                work.findings.append(
                    f"the {what}'s key is spelled otherwise in {role.join.profile.table.name!r} (zeros in front,"
                    " capitals, spaces or '.0'): both are written alike"
                )
            if role.join.share < 0.95:
                work.findings.append(
                    f"{1 - role.join.share:.0%} of the events find no row in {role.join.profile.table.name!r}: their "
                    f"{what} has no features"
                )
    return counts


def _unused(work: Work, profiles: Sequence[Profile]) -> None:
    work.costs += [f"of the table {one.table.name!r}: {one.table.anew}" for one in profiles if one.table.wide]
    for name, reason in work.roles.unused:
        profile = next(one for one in profiles if one.table.name == name)
        work.left.append(LeftOut("", name, reason, f"{profile.table.rows:,} rows"))
        work.costs.append(f"the table {name!r} is not used: {reason}")


def _about(work: Work) -> str:
    """What the dataset asks, in a sentence."""
    label, nouns = work.roles.label, work.nouns
    if label.rates:
        rule = label.words.replace(label.column, written_name(work, label.column), 1)
        return f"Does this {nouns.person} like this {nouns.thing}? By {rule}."
    if label.kind == "column":
        return f"Is {label.column!r} true of this {nouns.person} and this {nouns.thing}?"
    if label.kind in {"slate", "pairs", "counts"}:
        return f"Was this {nouns.thing} clicked when it was shown?"
    if label.kind == "chosen":
        return f"Does this {nouns.person} choose this {nouns.thing}?"
    return f"Will the {nouns.act} of this {nouns.thing} be one where {label.words}?"
