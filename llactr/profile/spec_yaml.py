"""A draft as a spec's YAML: every choice with a short comment why, what is unsure marked `# check`."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llactr.profile.drafting.work import Draft, FieldDraft, LeftOut, SourceDraft

__all__ = ["CHECK", "spec_yaml", "tables_folder"]

CHECK = "# check"
_WIDTH = 118
_PLAIN = re.compile(r"[A-Za-z_][\w ./()'-]*")
_WORDS = {"true", "false", "yes", "no", "on", "off", "null", "none", "y", "n", "~"}


def tables_folder(out: Path) -> Path:
    """Where tables are written that a spec cannot read as they stand: beside the spec."""
    return out.parent / f"{out.stem}-tables"


def spec_yaml(draft: Draft, out: Path, *, described_by: Mapping[str, str] | None = None, model: str = "") -> str:
    """The text of a spec file.

    Args:
        draft: what it says.
        out: the file it is for: paths are relative to its folder.
        described_by: field name -> a description to take instead of the draft's.
        model: the language model that wrote those.
    """
    lines = _head(draft, out)
    lines += [f"name: {draft.name}", f"description: {_scalar(draft.description)}", "", "sources:"]
    for source in draft.sources:
        lines += [f"  # {_one_line(why)}" for why in _source_comment(source)]
        lines.append(f"  {_scalar(source.name)}: {_source(source, out)}")
    lines += ["", f"events: {_scalar(draft.events)}"]
    lines += _key("timestamp", draft.timestamp, draft, "timestamp")
    lines += _key("label", draft.label, draft, "label")
    if draft.entities:
        lines += ["", "entities:"]
        for owner, entity in draft.entities.items():
            lines += _entity(owner, entity, draft)
    else:
        lines += ["", "entities: {}"]
    if draft.repository:
        place = os.path.relpath(Path(draft.repository).absolute(), out.absolute().parent)
        lines += ["", "# Your own Feast repository: fields with 'feature' are read there, nothing is changed."]
        lines.append(f"feast: {{repository: {_scalar(place)}}}")
    lines += ["", "fields:"]
    by = described_by or {}
    if model:
        lines.append(
            f"  # Descriptions marked 'draft' were written by {_one_line(model)}: read them, they may be wrong."
        )
    for one in draft.fields:
        lines += _field(one, by.get(one.name), model)
    lines += ["", "split: {train: 0.8, validation: 0.1}"]
    lines += _left_out(draft.left_out)
    return "\n".join(lines) + "\n"


def _head(draft: Draft, out: Path) -> list[str]:
    lines = [
        f"# Drafted by llactr init; read it, above all the lines marked '{CHECK[2:]}', and 'llactr init --check"
        f" {out.name}'."
    ]
    lines.append(f"# {draft.rows:,} rows, {draft.positives:.1%} of them clicks.")
    if draft.findings:
        lines += ["#", "# What may spoil the result:"]
        lines += _wrapped(draft.findings)
    if draft.costs:
        lines += ["#", "# What the data do not allow, and what was done:"]
        lines += _wrapped(draft.costs)
    return lines


def _wrapped(sentences: tuple[str, ...]) -> list[str]:
    lines = []
    for sentence in sentences:
        text = _one_line(sentence)
        first = True
        while text:
            room = _WIDTH - 6
            cut = len(text) if len(text) <= room else max(text.rfind(" ", 0, room), 40)
            lines.append(f"# {'- ' if first else '  '}{text[:cut].rstrip()}")
            text, first = text[cut:].lstrip(), False
    return lines


def _source_comment(source: SourceDraft) -> list[str]:
    if not source.query:
        return []
    return [f"written anew: {'; '.join(source.why)}"]


def _source(source: SourceDraft, out: Path) -> str:
    if source.table is None:
        return f"{{path: {_scalar(f'{tables_folder(out).name}/{source.name}.parquet')}, format: parquet}}"
    table = source.table
    path = Path(os.path.relpath(table.files[0].absolute(), out.absolute().parent))
    parts = [f"path: {_scalar(str(path))}", f"format: {table.format}"]
    if table.table is not None:
        parts.append(f"table: {_scalar(table.table)}")
    if table.dialect is not None:
        if table.dialect.separator != ",":
            parts.append(f"separator: {json.dumps(table.dialect.separator)}")
        if table.dialect.quote is not None:
            parts.append(f"quote: {json.dumps(table.dialect.quote)}")
    return f"{{{', '.join(parts)}}}"


def _key(name: str, content: Mapping[str, Any], draft: Draft, note: str) -> list[str]:
    said = draft.notes.get(note, "")
    mark = f"{CHECK}: " if note in draft.unsure else "# "
    return [*([f"{mark}{_one_line(said)}"] if said else []), f"{name}: {_flow(content)}"]


def _entity(owner: str, entity: Mapping[str, Any], draft: Draft) -> list[str]:
    said = draft.notes.get(owner, "")
    mark = f"{CHECK}: " if owner in draft.unsure else "# "
    return [*([f"  {mark}{_one_line(said)}"] if said else []), f"  {owner}: {_flow(entity)}"]


def _field(one: FieldDraft, described: str | None, model: str) -> list[str]:
    said = "; ".join(part for part in (one.reason, one.facts) if part)
    lines = [f"  # {_one_line(said)}"] if one.sure else [f"  {CHECK} kind: {_one_line(said)}"]
    lines.append(f"  - name: {_scalar(one.name)}")
    draft = "  # draft" if described is not None and model else ""
    lines.append(f"    description: {_scalar(described or one.described)}{draft}")
    lines += [f"    owner: {one.owner}", f"    kind: {one.kind}"]
    if one.column != one.name and one.settings.get("read_as"):
        lines.append(f"    source_column: {_scalar(one.column)}")
    for key, value in one.settings.items():
        if key != "read_as":
            lines.append(f"    {key}: {_value(value)}")
    return lines


def _left_out(left: tuple[LeftOut, ...]) -> list[str]:
    if not left:
        return []
    lines = ["", "# Left out; 'llactr init ... --keep COLUMN' makes a field of a column all the same:"]
    for one in left:
        what = f"{one.table}.{one.column}" if one.column else f"table {one.table}"
        facts = f" ({one.facts})" if one.facts else ""
        mark = "" if one.sure else f"  {CHECK}"
        lines.append(f"# - {_one_line(what)}: {_one_line(one.reason + facts)}{mark}")
    return lines


def _flow(content: Mapping[str, Any]) -> str:
    return "{" + ", ".join(f"{key}: {_value(value)}" for key, value in content.items()) + "}"


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(one) for one in value) + "]"
    if isinstance(value, Mapping):
        return _flow(value)
    return _scalar(value) if isinstance(value, str) else repr(value)


def _scalar(text: str) -> str:
    """A text as a YAML scalar: bare where that is safe, in double quotes elsewhere."""
    if (
        _PLAIN.fullmatch(text)
        and text.lower() not in _WORDS
        and text == text.strip()
        and not re.search(r"\s#|:\s", text)
    ):
        return text
    return json.dumps(text, ensure_ascii=False)


def _one_line(text: str) -> str:
    plain = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return plain if len(plain) <= 400 else f"{plain[:399]}…"
