"""What a report shows, as plain data: a job stores it as JSON, and any later version of the template renders it.

Every section may be absent; the report then says which command would fill it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic import Field as Setting

from llactr.diagnostics.cosines import neighbours_of, similarity
from llactr.diagnostics.index import Device
from llactr.diagnostics.value_neighbours import ValueSimilarity
from llactr.evaluation.choice import Choice
from llactr.evaluation.comparison import Comparison
from llactr.evaluation.result import Curve, TestReading

if TYPE_CHECKING:
    from llactr.semantics import FieldVectors

__all__ = [
    "Consistency",
    "Curve",
    "DataCard",
    "FieldAccuracy",
    "FieldCard",
    "FieldSimilarity",
    "NearField",
    "NearestFields",
    "Provenance",
    "ReportData",
    "Semantics",
    "ServedModel",
    "SplitCard",
    "StepCost",
    "TestReading",
    "TunedDimension",
    "TunedTrial",
    "Tuning",
    "ValuesCard",
]

Rows = tuple[tuple[float, ...], ...]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="constants")


def _square(rows: Rows, fields: tuple[str, ...], what: str) -> None:
    if len(rows) != len(fields) or any(len(row) != len(fields) for row in rows):
        raise ValueError(f"{what} is not {len(fields)} x {len(fields)}, one row and one column a field")


class TunedDimension(_Model):
    """A searched setting. `log`: a picture's axis has equal factors for equal steps."""

    name: str
    log: bool = True
    whole: bool = False


class TunedTrial(_Model):
    """One trial: a value for each dimension, and its metrics on the validation split; None where training diverged."""

    number: int
    values: dict[str, float]
    auc: float | None
    logloss: float | None = None
    seconds: float | None = None


class Tuning(_Model):
    """A search over an arm's settings. Trial 0 has the defaults."""

    backbone: str
    arm: str
    seeds: int = 1
    dimensions: tuple[TunedDimension, ...] = Setting(min_length=1)
    trials: tuple[TunedTrial, ...] = Setting(min_length=1)

    @model_validator(mode="after")
    def _trials_have_every_dimension(self) -> Tuning:
        names = {one.name for one in self.dimensions}
        if any(set(trial.values) != names for trial in self.trials):
            raise ValueError(f"a trial does not have exactly the values {', '.join(sorted(names))}")
        return self

    @property
    def best(self) -> TunedTrial | None:
        """The trial of the highest validation AUC, the first of equals."""
        scored = [trial for trial in self.trials if trial.auc is not None]
        return max(scored, key=lambda trial: trial.auc or 0.0, default=None)


class FieldSimilarity(_Model):
    """A cosine matrix over the fields; `degenerate` fields have no direction and show as zeros."""

    fields: tuple[str, ...] = Setting(min_length=1)
    matrix: Rows
    centered: bool
    mean_off_diagonal: float
    effective_rank: float
    degenerate: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _is_square(self) -> FieldSimilarity:
        _square(self.matrix, self.fields, "the similarity matrix")
        return self


class NearField(_Model):
    """A neighbour and its cosine."""

    field: str
    cosine: float


class NearestFields(_Model):
    """A field's nearest fields, the nearest first, by centered cosine."""

    field: str
    neighbours: tuple[NearField, ...]


class FieldAccuracy(_Model):
    """How often the encoder puts a held-out value nearest to its own field, before and after tuning.

    The confusion matrices count values: rows are the true field, columns the field it was put to.
    """

    fields: tuple[str, ...] = Setting(min_length=1)
    before: float
    after: float
    confusion_before: Rows
    confusion_after: Rows
    held_out: int

    @model_validator(mode="after")
    def _is_square(self) -> FieldAccuracy:
        _square(self.confusion_before, self.fields, "the confusion matrix before tuning")
        _square(self.confusion_after, self.fields, "the confusion matrix after tuning")
        return self


class Semantics(_Model):
    """What the language model makes of the fields: similarity raw and centered, and nearest fields."""

    version: str
    encoder: str
    raw: FieldSimilarity
    centered: FieldSimilarity
    nearest: tuple[NearestFields, ...]
    faiss_device: str
    faiss_reason: str

    @classmethod
    def measure(cls, vectors: FieldVectors, *, k: int = 3, device: Device = "auto") -> Semantics:
        """Measures field vectors with FAISS."""
        raw, centered = (similarity(vectors, centered=flag, device=device) for flag in (False, True))
        shown = [
            FieldSimilarity(
                fields=found.fields,
                matrix=tuple(tuple(round(float(value), 6) for value in row) for row in found.matrix),
                centered=found.centered,
                mean_off_diagonal=found.mean_off_diagonal,
                effective_rank=found.effective_rank,
                degenerate=found.degenerate,
            )
            for found in (raw, centered)
        ]
        nearest = tuple(
            NearestFields(field=name, neighbours=tuple(NearField(field=n.field, cosine=n.cosine) for n in found))
            for name, found in neighbours_of(centered, k=k).items()
        )
        return cls(
            version=vectors.version,
            encoder=vectors.encoder,
            raw=shown[0],
            centered=shown[1],
            nearest=nearest,
            faiss_device=centered.device,
            faiss_reason=centered.device_reason,
        )


class ValuesCard(_Model):
    """The vectors of the values' texts, where the spec gives some.

    Attributes:
        text_fields: the fields whose values have texts.
        version: the values' semantics version; None where they have not been encoded.
        encoder: its name.
        tuned: whether the encoder was tuned on what people liked in close succession.
        values: field -> how many values have a vector.
        used: whether the model trained last uses them.
        placed_rows: of the rows that were scored online and offline, how many hold values that training never saw.
        similar: field -> how alike its values are, of fields with two values or more.
    """

    text_fields: tuple[str, ...]
    version: str | None = None
    encoder: str = ""
    tuned: bool = False
    values: dict[str, int] = {}
    used: bool = False
    placed_rows: int | None = None
    similar: dict[str, ValueSimilarity] = {}


class ServedModel(_Model):
    """The bundle that was trained last, on the same test rows as the comparison.

    Attributes:
        bundle: its id.
        doubts: what speaks against serving it (`llactr.ctr.soundness`).
        choice: how its arm was chosen; None where it was asked for.
    """

    bundle: str
    backbone: str
    arm: str
    rows: int
    clicks: int
    auc: float | None
    logloss: float | None
    ece: float
    constant_logloss: float
    expected_clicks: float
    doubts: tuple[str, ...] = ()
    choice: Choice | None = None


class SplitCard(_Model):
    """One part of the chronological split; times are ISO 8601, UTC."""

    name: str
    rows: int
    positives: int
    start: str | None = None
    end: str | None = None


class FieldCard(_Model):
    """One field as the data has it: distinct values and nulls over all rows, and a few examples."""

    name: str
    description: str
    owner: str
    kind: str
    distinct: int | None = None
    nulls: int | None = None
    examples: tuple[str, ...] = ()


class DataCard(_Model):
    """The dataset. `rows` are labelled events; `dropped_rows` were left out by the label rule.

    `warnings` are ingest's sentences about what a person should look at.
    """

    description: str = ""
    credit: str = ""
    label: str = ""
    rows: int
    positives: int
    users: int | None = None
    items: int | None = None
    dropped_rows: int | None = None
    start: str | None = None
    end: str | None = None
    splits: tuple[SplitCard, ...] = ()
    fields: tuple[FieldCard, ...] = ()
    warnings: tuple[str, ...] = ()


class StepCost(_Model):
    """One step's cost. A skipped step's inputs had not changed; its seconds are those of the check."""

    name: str
    seconds: float
    cpu_s: float | None = None
    peak_rss_bytes: int | None = None
    skipped: bool = False
    note: str = ""


class Consistency(_Model):
    """Test rows scored twice: through the online store, and on the offline path."""

    rows: int
    rows_with_other_ids: int
    max_score_difference: float
    tolerance: float = 1e-6

    @property
    def holds(self) -> bool:
        """Every id is identical and no score differs by more than the tolerance."""
        return self.rows > 0 and self.rows_with_other_ids == 0 and self.max_score_difference <= self.tolerance


class Provenance(_Model):
    """What the results depend on: package versions, content hashes of inputs and artifacts, seeds, device."""

    created: str = ""
    command: str = ""
    device: str = ""
    seeds: tuple[int, ...] = ()
    packages: dict[str, str] = {}
    hashes: dict[str, str] = {}


class ReportData(_Model):
    """All that a report shows. The first comparison is the one that the headline speaks of."""

    dataset: str
    title: str = ""
    served: ServedModel | None = None
    comparisons: tuple[Comparison, ...] = ()
    test_reading: TestReading | None = None
    curves: tuple[Curve, ...] = ()
    tuning: tuple[Tuning, ...] = ()
    semantics: Semantics | None = None
    accuracy: FieldAccuracy | None = None
    values: ValuesCard | None = None
    data: DataCard | None = None
    steps: tuple[StepCost, ...] = ()
    consistency: Consistency | None = None
    provenance: Provenance = Provenance()
