"""The reference pages, written from the code when the site is built: they cannot say what is not so."""

from __future__ import annotations

import inspect
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

__all__ = ["PAGES"]


def spec() -> str:
    """A dataset spec, from its models."""
    from llactr.spec import DatasetSpec

    return (
        "# The dataset spec\n\nOne YAML file; `llactr init` drafts it, [Datasets](../datasets.md) explains it. "
        "An unknown key is refused.\n\n" + "\n".join(_models(DatasetSpec))
    )


def configuration() -> str:
    """The run's and the service's configuration, from their models."""
    from llactr.lifecycle.config import RunConfig
    from llactr.serving.config import ServeConfig

    return (
        "# Configuration\n\n## `--config` of the steps\n\nA YAML file with a section a step; every key is optional, "
        "flags win over it.\n\n"
        + "\n".join(_models(RunConfig))
        + "\n## `--config` of `llactr serve`\n\n"
        + "\n".join(_models(ServeConfig))
    )


def commands() -> str:
    """The command line, from its commands."""
    import typer

    from llactr.jobs.cli import app

    group: Any = typer.main.get_command(app)
    lines = [
        "# The command line",
        "",
        "Every command has `--json` (one object on stdout, logs on stderr) and the exit codes 0, 1 (failed), 2 (bad "
        "input) and 130 (interrupted).",
    ]
    for name, command in sorted(group.commands.items()):
        lines += ["", f"## llactr {name}", "", command.help or "", "", "| | |", "|---|---|"]
        for parameter in command.params:
            said = getattr(parameter, "help", None) or ""
            if parameter.param_type_name == "argument":
                shown = f"`{parameter.metavar or parameter.name.upper()}`"
            else:
                shown = ", ".join(f"`{one}`" for one in (*parameter.opts, *parameter.secondary_opts))
            lines.append(f"| {shown} | {_cell(said)} |")
    return "\n".join(lines) + "\n"


def python() -> str:
    """The public names, from their signatures and docstrings."""
    import llactr

    lines = ["# Python", "", "What `import llactr` hands out; [Python](../python.md) shows it at work."]
    for name in llactr.__all__:
        found = getattr(llactr, name)
        if name.startswith("__"):
            continue
        lines += ["", f"## llactr.{name}", "", *_documented(found, f"llactr.{name}")]
        if inspect.isclass(found) and found.__module__.startswith("llactr.api"):
            for part, member in inspect.getmembers(
                found, lambda one: inspect.isroutine(one) or isinstance(one, property)
            ):
                if not part.startswith("_") and part != "writing":
                    of = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
                    kind = "" if isinstance(member, property) else None
                    lines += ["", f"### {name}.{part}", "", *_documented(of, part, signature=kind)]
    return "\n".join(lines) + "\n"


def http() -> str:
    """The service's paths, from its OpenAPI document."""
    from llactr.serving.app import create_app
    from llactr.serving.config import ServeConfig

    with tempfile.TemporaryDirectory() as folder:
        gate: Any = create_app(ServeConfig.of(workspace=Path(folder)))
        document = gate._app.openapi()
    lines = [
        "# HTTP",
        "",
        "A running service has the whole document, with the fields of its bundle, at `/openapi.json`; "
        "[Serving](../serving.md) explains it. Errors are problem documents (RFC 9457).",
    ]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            lines += ["", f"## {method.upper()} {path}", "", operation.get("description", operation.get("summary", ""))]
            if operation.get("parameters"):
                lines += ["", "| parameter | |", "|---|---|"]
                for one in operation["parameters"]:
                    lines.append(f"| `{one['name']}` | {_cell(one.get('description') or one['in'])} |")
            lines += ["", "| answer | |", "|---|---|"]
            lines += [f"| {code} | {_cell(one['description'])} |" for code, one in operation["responses"].items()]
    lines += ["", "## Bodies"]
    for name, schema in sorted(document.get("components", {}).get("schemas", {}).items()):
        if "properties" in schema:
            lines += [
                "",
                f"### {name}",
                "",
                _cell(schema.get("description", "")),
                "",
                "| key | type | |",
                "|---|---|---|",
            ]
            needed = schema.get("required", ())
            for key, one in schema["properties"].items():
                kind = one.get("type") or _named(one)
                lines.append(f"| `{key}` | {kind} | {'needed' if key in needed else ''} |")
    return "\n".join(lines) + "\n"


PAGES = {
    "reference/spec.md": spec,
    "reference/configuration.md": configuration,
    "reference/commands.md": commands,
    "reference/python.md": python,
    "reference/http.md": http,
}
"""Path in the site -> what writes it."""


def _models(root: type[BaseModel]) -> Iterator[str]:
    """A model and those that its fields hold, each a heading, its docstring, and a table of its keys."""
    waiting, seen = [root], {root}
    while waiting:
        model = waiting.pop(0)
        yield f"### {model.__name__}\n\n{_prose(inspect.getdoc(model) or '')}\n"
        yield "| key | type | default |\n|---|---|---|"
        for name, field in model.model_fields.items():
            yield f"| `{field.alias or name}` | {_type(field.annotation)} | {_default(field)} |"
            for inner in _inside(field.annotation):
                if inner not in seen:
                    seen.add(inner)
                    waiting.append(inner)
        yield ""


def _inside(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _inside(part)


def _type(annotation: Any) -> str:
    origin = get_origin(annotation)
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(_type(part) for part in get_args(annotation)))
    if (origin is not None and getattr(origin, "__name__", "") == "Literal") or str(origin) == "typing.Literal":
        return ", ".join(f"`{part}`" for part in get_args(annotation))
    if origin is not None:
        parts = [
            _type(part) for part in get_args(annotation) if part is not Ellipsis and not isinstance(part, FieldInfo)
        ]
        name = getattr(origin, "__name__", str(origin))
        return parts[0] if name == "Annotated" else f"{name} of {', '.join(parts)}"
    if annotation is type(None):
        return "nothing"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"[{annotation.__name__}](#{annotation.__name__.lower()})"
    return _cell(getattr(annotation, "__name__", str(annotation)))


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "needed"
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined or isinstance(value, BaseModel):
        return "its defaults"
    return f"`{_cell(str(value))}`"


def _documented(found: Any, name: str, *, signature: str | None = None) -> list[str]:
    try:
        said = str(inspect.signature(found)) if signature is None else signature
    except (TypeError, ValueError):
        said = ""
    said = said.replace("self, ", "").replace("cls, ", "").replace("(self)", "()").replace("'", "")
    return ["```python", f"{name}{said}", "```", "", _prose(inspect.getdoc(found) or "")]


def _prose(docstring: str) -> str:
    """A docstring as Markdown: sections become lists, examples code blocks."""
    lines: list[str] = []
    code = section = False
    for line in docstring.splitlines():
        example = line.lstrip().startswith(">>>") or (code and line.strip() != "")
        if example != code:
            lines += ["", "```python"] if example else ["```", ""]
            code = example
        if code:
            lines.append(line.strip())
        elif re.fullmatch(r"(Args|Returns|Raises|Attributes|Columns):", line.strip()):
            lines += ["", f"**{line.strip()[:-1]}**", ""]
            section = True
        elif section and (found := re.fullmatch(r" {4}(\S[^:]*): (.*)", line)):
            lines.append(f"- `{found[1]}`: {found[2]}")
        elif section and line.startswith("    "):
            lines.append(f"  {line.strip()}")
        else:
            section = section and not line.strip()
            lines.append(line)
    return "\n".join(lines + ["```"] * code).strip()


def _named(schema: dict[str, Any]) -> str:
    some = [one.get("type") or one.get("$ref", "").rpartition("/")[2] for one in schema.get("anyOf", [schema])]
    return " or ".join(filter(None, some))


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
