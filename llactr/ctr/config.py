"""What a CTR model is and how it is trained, as frozen settings; each backbone brings its own defaults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SerializeAsAny,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from llactr.ctr.backbones import BACKBONES, BackboneSettings

__all__ = [
    "DECAY_WITH_PAST",
    "BackboneName",
    "EnhancementConfig",
    "HistoryInputConfig",
    "ModelConfig",
    "Precision",
    "TrainConfig",
    "ValuesConfig",
    "check_backbone",
]

Precision = Literal["fp32", "bf16"]

DECAY_WITH_PAST = 1e-3
"""The smallest default of the weight decay where a model reads a person's past: what its ids would learn by heart is in
those numbers already. On validation of six sets better than none and than 1e-4 on five (research/many.md)."""


def _known(name: str) -> str:
    if name not in BACKBONES:
        raise ValueError(str(BACKBONES.unknown(name)))
    return name


BackboneName = Annotated[str, AfterValidator(_known)]
"""The name of a backbone in the registry."""


def check_backbone(name: object) -> BackboneName:
    """The backbone's name, if there is one of that name.

    Raises:
        InputError: there is none; the message lists those there are.
    """
    if not isinstance(name, str) or name not in BACKBONES:
        raise BACKBONES.unknown(name)
    return name


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class EnhancementConfig(_Settings):
    """What the field vectors do: FRE pulls embeddings towards them, FIE weighs pairs of fields by their likeness."""

    fre: bool = True
    fie: bool = True
    lambda_fre: float = Field(default=0.05, ge=0)
    lambda_fie: float = Field(default=0.1, ge=0)

    @model_validator(mode="after")
    def _does_something(self) -> EnhancementConfig:
        if not (self.fre or self.fie):
            raise ValueError("an enhancement without fre and fie does nothing: leave the enhancement out instead")
        return self


class ValuesConfig(_Settings):
    """How value vectors enter the embedding: `tau` sightings halve their weight, `rank` is r of each field's PCA.

    The weight decay of P_k and q_k is `decay_factor` times the model's. All values of a field share them, so that their
    gradients add up, and a decay that suits one value's embedding hardly holds them. 0 leaves them free.
    """

    tau: float = Field(default=20.0, gt=0)
    rank: int = Field(default=24, ge=1)
    init_std: float = Field(default=0.01, gt=0)
    decay_factor: float = Field(default=10.0, ge=0)  # chosen by research/movielens.md, "What was chosen, and how"


class HistoryInputConfig(_Settings):
    """How history fields enter: embedded beside the other fields, or, if `additive`, on the logit alone.

    What is additive and the user's own cannot reorder the candidates of one request. `names` are those of the numbers;
    of each sequence, which attention makes two numbers of, `sequences` has the place of its first one among them and
    how many events it holds.
    """

    names: tuple[str, ...] = Field(min_length=1)
    additive: tuple[str, ...] = ()
    sequences: tuple[tuple[int, int], ...] = ()
    hidden_units: tuple[int, ...] = ()
    dropout: float = Field(default=0.0, ge=0, lt=1)

    @model_validator(mode="after")
    def _additive_ones_are_there(self) -> HistoryInputConfig:
        unknown = sorted(set(self.additive) - set(self.names))
        if unknown:
            raise ValueError(f"additive history field {unknown[0]!r} is not among the fields {list(self.names)}")
        return self


class ModelConfig(_Settings):
    """A backbone with its sizes, and its enhancement if it has one.

    `settings` may be left out, or given as keys that differ from the backbone's defaults. A `calibrated` model has a
    scale and a shift behind its logits (`llactr.ctr.calibration`), one with `bends` a curve with so many of them behind
    these (`llactr.ctr.isotonic`).
    """

    backbone: BackboneName
    embedding_dim: int = Field(default=32, ge=1)
    init_std: float = Field(default=0.01, gt=0)
    settings: SerializeAsAny[BackboneSettings]
    enhancement: EnhancementConfig | None = None
    history: HistoryInputConfig | None = None
    calibrated: bool = False
    bends: int = Field(default=0, ge=0)

    @model_serializer(mode="wrap")
    def _what_there_is(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Models without history or calibration are written as ever: their checkpoints and bundles stay the same."""
        absent = {"history": None, "calibrated": False, "bends": 0}
        return {key: value for key, value in dump(self).items() if key not in absent or value != absent[key]}

    @model_validator(mode="before")
    @classmethod
    def _settings_of_the_backbone(cls, content: Any) -> Any:
        if not isinstance(content, Mapping) or "backbone" not in content:
            return content
        wanted = BACKBONES[check_backbone(content["backbone"])].settings
        given = content.get("settings") or {}
        return {**content, "settings": wanted.model_validate(given)}


class TrainConfig(_Settings):
    """How a model is trained; the defaults that suit a backbone come from `TrainConfig.of(backbone)`.

    `weight_decay` is coupled (added to the gradient) and holds for every parameter. Training stops when validation has
    not become better for `patience` epochs, but not before `min_steps` steps.

    With few clicks AUC is noise, and a model is soon surer than a constant would be. Where validation has fewer than
    `few_clicks` clicks (or non-clicks), `auto` therefore means: stop by logloss, start at the class prior, and
    calibrate on validation (Platt); where it has more: stop by AUC, no prior, and Platt's calibration if validation
    says that logloss is better for it. `calibration: isotonic` bends the logits' curve as well, which takes many
    clicks, and `chosen` takes none, Platt's or that, whichever validation says (`llactr.ctr.training.calibrated`).

    `embedding_optimizer` is what updates the embedding tables and first-order weights. `dense`, Adam over all rows in
    every step, is the protocol of the published results: features that a batch leaves out decay, and their momentum
    moves them on. It costs time in proportion to the vocabulary. `lazy` is Adam over the batch's rows alone, weight
    decay included (`llactr.ctr.training.optimizer` says what that means): for vocabularies of 100,000 features and
    more, where it is many times faster. The other parameters have Adam over all of them either way.

    `tables` matters to several processes only (`llactr.ctr.training.parallel`): `sharded` needs `lazy`.
    `precision: bf16` computes matrix products in bfloat16. `device` is auto, cpu, cuda or cuda:<number>.
    """

    seed: int = Field(default=0, ge=0)
    batch_size: int = Field(default=4096, ge=1)
    learning_rate: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    max_epochs: int = Field(default=100, ge=1)
    patience: int = Field(default=2, ge=1)
    min_steps: int = Field(default=150, ge=0)
    few_clicks: int = Field(default=100, ge=0)
    stop_on: Literal["auto", "auc", "logloss"] = "auto"
    prior: Literal["auto", "on", "off"] = "auto"
    calibration: Literal["auto", "platt", "isotonic", "chosen", "off"] = "auto"
    embedding_optimizer: Literal["dense", "lazy"] = "dense"
    tables: Literal["replicated", "sharded"] = "replicated"
    precision: Precision = "fp32"
    device: str = "auto"

    @field_validator("prior", "calibration", mode="before")
    @classmethod
    def _yaml_reads_off_as_false(cls, given: object) -> object:
        return {True: "on", False: "off"}[given] if isinstance(given, bool) else given

    @model_validator(mode="after")
    def _shards_are_lazy(self) -> TrainConfig:
        if self.tables == "sharded" and self.embedding_optimizer != "lazy":
            raise ValueError("tables 'sharded' need embedding_optimizer 'lazy': a dense one would walk over all shards")
        return self

    @classmethod
    def of(cls, backbone: BackboneName, *, reads_a_person: bool = False, **changes: Any) -> TrainConfig:
        """The defaults of a backbone, with changes.

        Ours are those with the highest mean validation AUC of the seeds 0 to 2 on MovieLens-100K (chronological 8:1:1),
        with 150 steps at least, among the published weight decays and 3e-4 (and 3e-3 for FinalMLP). A model that reads
        a person's past has a weight decay of `DECAY_WITH_PAST` at least.
        """
        defaults = dict(BACKBONES[check_backbone(backbone)].training_defaults)
        if reads_a_person:
            defaults["weight_decay"] = max(defaults.get("weight_decay", 0.0), DECAY_WITH_PAST)
        return cls.model_validate({**defaults, **changes})
