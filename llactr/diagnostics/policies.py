"""The page about policies of retraining: a picture over time, a table, and the periods as Parquet."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from llactr.atomic import write_text
from llactr.diagnostics import words
from llactr.diagnostics.pictures.policies import MEASURES, policies_picture
from llactr.evaluation.prequential import POLICIES, PrequentialResult

__all__ = ["period_table", "render_policies", "write_policies"]


def period_table(found: PrequentialResult, path: Path) -> None:
    """Writes a row a policy and period: what `PeriodFigures` says, and the policy."""
    rows = [
        {"policy": one.policy, **period.model_dump(mode="json")} for one in found.policies for period in one.periods
    ]
    pq.write_table(pa.Table.from_pylist(rows), path)


def render_policies(found: PrequentialResult) -> str:
    """The page as one HTML file without script; the same result gives the same bytes."""
    loader = PackageLoader("llactr.diagnostics", "templates")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(words.FILTERS)
    style, _, _ = loader.get_source(environment, "report.css")
    return environment.get_template("policies.html").render(
        found=found,
        said=POLICIES,
        style=Markup(style),
        pictures=[Markup(policies_picture(found, measure=one, name=f"over-time-{one}").inline()) for one in MEASURES],
    )


def write_policies(found: PrequentialResult, folder: Path) -> Path:
    """Writes `report.html`, and the pictures as SVG files, into a folder; returns the page's path."""
    for measure in MEASURES:
        (folder / f"{measure}.svg").write_bytes(policies_picture(found, measure=measure, name=measure).svg())
    write_text(folder / "report.html", render_policies(found))
    return folder / "report.html"
