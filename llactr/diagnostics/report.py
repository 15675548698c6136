"""One self-contained `report.html`: pictures inline, styles inline, no script, nothing fetched.

Everything taken from data is escaped by the template; pictures escape their own labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from llactr.atomic import write_text
from llactr.diagnostics import words
from llactr.diagnostics.headline import headline, overheads, question, tone_of, trust
from llactr.diagnostics.pictures import (
    Picture,
    confusion_picture,
    curve_picture,
    forest_picture,
    similarity_picture,
    trials_picture,
    tuned_picture,
)
from llactr.diagnostics.report_data import Curve, ReportData
from llactr.evaluation.arms import PLAIN, Arm, treatments
from llactr.evaluation.comparison import Comparison
from llactr.evaluation.verdict import Judgement

__all__ = ["render_report", "write_report"]

_NARROW = 400  # pictures of at most this natural width may be shrunk to a phone; wider ones scroll


@dataclass(frozen=True)
class _Inline:
    svg: Markup
    width: int
    wide: bool


def render_report(data: ReportData) -> str:
    """The report as one HTML page; the same data give the same bytes."""
    loader = PackageLoader("llactr.diagnostics", "templates")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update({**words.FILTERS, "tone": tone_of})
    style, _, _ = loader.get_source(environment, "report.css")
    return environment.get_template("report.html").render(
        data=data,
        style=Markup(style),
        head=headline(data),
        question=question(data),
        judged=_judged(data),
        trust=trust(data),
        overheads=overheads(data),
        families=_families(data.curves),
        pictures={picture.name: _inline(picture) for picture in _pictures(data)},
    )


def write_report(data: ReportData, path: Path) -> Path:
    """Renders the report into a file, which is replaced as a whole; returns the path."""
    write_text(path, render_report(data))
    return path


def _judged(data: ReportData) -> list[tuple[Comparison, Judgement]]:
    """Every judgement with its comparison, that of the served arm first."""
    found = [(comparison, said) for comparison in data.comparisons for said in comparison.judgements]
    if data.served is None:
        return found
    served = (data.served.backbone, data.served.arm)
    return sorted(found, key=lambda one: (one[0].backbone, str(one[1].arm)) != served)


def _families(curves: Sequence[Curve]) -> list[tuple[str, Arm, list[Curve]]]:
    """The curves that are looked at together: backbone, treatment, and the curves of plain, of it and its placebos."""
    found = []
    for backbone in dict.fromkeys(curve.backbone for curve in curves):
        ours = [curve for curve in curves if curve.backbone == backbone]
        arms = dict.fromkeys(curve.arm for curve in ours)
        for arm in treatments(arms) or (PLAIN,):
            shown = {PLAIN, arm, *arm.placebos}
            found.append((backbone, arm, [curve for curve in ours if curve.arm in shown]))
    return found


def _pictures(data: ReportData) -> list[Picture]:
    found = []
    for i, comparison in enumerate(data.comparisons):
        if comparison.differences:
            found.append(forest_picture(comparison, name=f"forest-{i}"))
    for i, (_, _, curves) in enumerate(_families(data.curves)):
        found.append(curve_picture(curves, measure="train_loss", name=f"loss-{i}"))
        found.append(curve_picture(curves, measure="validation_auc", name=f"auc-{i}"))
    for i, tuning in enumerate(data.tuning):
        found.append(trials_picture(tuning, name=f"trials-{i}"))
        found += [tuned_picture(tuning, one, name=f"tuned-{i}-{j}") for j, one in enumerate(tuning.dimensions)]
    if data.semantics is not None:
        for kind, measured in (("raw", data.semantics.raw), ("centered", data.semantics.centered)):
            label = f"Heat map of the {kind} cosines of {len(measured.fields)} fields; the table below has the values."
            found.append(similarity_picture(measured.fields, measured.matrix, name=f"cosine-{kind}", label=label))
    if data.accuracy is not None:
        for kind, counts in (("before", data.accuracy.confusion_before), ("after", data.accuracy.confusion_after)):
            label = f"Confusion of {len(data.accuracy.fields)} fields {kind} tuning; the table below has the counts."
            found.append(confusion_picture(data.accuracy.fields, counts, name=f"confusion-{kind}", label=label))
    return found


def _inline(picture: Picture) -> _Inline:
    return _Inline(Markup(picture.inline()), picture.width, picture.width > _NARROW)
