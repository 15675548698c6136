"""What a trial reaches: models of the tried settings, trained and measured without a row of the test split."""

from __future__ import annotations

import numpy as np

from llactr.ctr.search.space import SearchConfig, TunedSettings
from llactr.ctr.search.study import TrialScore
from llactr.ctr.training.build import build_model, train_config
from llactr.ctr.training.data import CTRData, Split
from llactr.ctr.training.history import RowHistory
from llactr.ctr.training.trainer import train
from llactr.ctr.training.training_set import TrainingSet
from llactr.ctr.values.embedding import ValueTables
from llactr.semantics.values import ValueVectors

__all__ = ["score", "without_test"]


def without_test(data: CTRData) -> CTRData:
    """The training and validation rows alone: nothing that is handed this can read the test split."""
    train_rows, validation_rows = data.split.train, data.split.validation
    rows = np.concatenate([train_rows, validation_rows])
    first = len(train_rows)
    split = Split(np.arange(first), np.arange(first, len(rows)), np.arange(0))
    return CTRData(data.ids[rows], data.label[rows], data.version[rows], split)


def score(
    config: SearchConfig,
    settings: TunedSettings,
    training_set: TrainingSet,
    known: ValueVectors | None,
    history: RowHistory | None = None,
) -> TrialScore:
    """Validation metrics of some settings, mean over the config's seeds.

    Args:
        config: what is the same in all trials.
        settings: what this one tries.
        training_set: its test split is cut off before anything is trained.
        known: value vectors, where the arm has them.
        history: of the rows, where the arm reads it.

    Raises:
        StepError: the loss was not finite.
    """
    values = None
    if settings.values and known:
        values = ValueTables.fit(training_set.transform, known, settings.values, training_set.unseen)
    results = []
    for seed in range(config.seed, config.seed + config.seeds):
        model, data = build_model(
            training_set,
            config.backbone,
            enhancement=settings.enhancement,
            settings=config.settings,
            seed=seed,
            values=values,
            history=history,
        )
        results.append(
            train(model, without_test(data), train_config(config.backbone, seed, settings.training, arm=config.arm))
        )
    return TrialScore(
        auc=float(np.mean([result.validation.auc for result in results])),
        logloss=float(np.mean([result.validation.logloss for result in results])),
        seconds=round(sum(result.cpu_seconds for result in results), 3),
    )
