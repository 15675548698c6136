"""A comparison of arms as a data frame and as a picture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llactr.api.held import section
from llactr.api.opened import OpenWorkspace
from llactr.api.opened import open as open_workspace
from llactr.evaluation.config import EvaluateConfig
from llactr.evaluation.evidence import Interval
from llactr.evaluation.result import EvaluationResult
from llactr.evaluation.step import evaluate as run_evaluation
from llactr.evaluation.tables import as_tables
from llactr.extras import naming_extras
from llactr.semantics import ValueSemanticsConfig
from llactr.steps import StepOutcome

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["Evaluation", "evaluate"]


def evaluate(
    workspace: OpenWorkspace | str | Path,
    config: EvaluateConfig | Mapping[str, Any] | None = None,
    *,
    values: ValueSemanticsConfig | Mapping[str, Any] | None = None,
    dataset: str | None = None,
    force: bool = False,
) -> Evaluation:
    """Trains arms with paired seeds and compares them on the test split, which is read once, after all training.

    Args:
        workspace: what `llactr.open` gave, or its path.
        config: section `evaluate`: design, backbones, arms, seeds, draws.
        values: section `values`: how value vectors are made, for arms that have them.
        dataset: which; may be left out where there is one.
        force: train and test anew.

    Raises:
        NotReadyError: an earlier step has not been run.
        InputError: the configuration is not valid.

    >>> import llactr
    >>> found = llactr.evaluate("shop", {"backbones": ["fm"], "arms": ["plain", "paper"], "seeds": 2,
    ...     "training": {"fm": {"max_epochs": 2, "min_steps": 0, "batch_size": 128}}})
    >>> found.frame().query("slice == 'all' and metric == 'auc'")[["arm", "baseline"]].values.tolist()
    [['paper', 'plain']]
    """
    opened = workspace if isinstance(workspace, OpenWorkspace) else open_workspace(workspace)
    chosen, semantics = section("evaluate", config), section("values", values)
    with opened.writing(force=force) as job:
        return Evaluation(run_evaluation(job, opened.workspace.chosen_dataset(dataset), chosen, semantics))


class Evaluation:
    """The result of `llactr.evaluate`; printed, it is the tables of the command line.

    Attributes:
        outcome: the step, with its folder and cost.

    >>> import llactr
    >>> found = llactr.evaluate("shop", {"backbones": ["fm"], "arms": ["plain", "paper"], "seeds": 2,
    ...     "training": {"fm": {"max_epochs": 2, "min_steps": 0, "batch_size": 128}}})
    >>> found.result.test_reading.rows
    78
    """

    def __init__(self, outcome: StepOutcome[EvaluationResult]) -> None:
        self.outcome = outcome

    @property
    def result(self) -> EvaluationResult:
        """All of it, typed: how the test split was read, the comparisons, judgements and learning curves."""
        return self.outcome.result

    def frame(self) -> pd.DataFrame:
        """The differences: a row a backbone, arm, baseline, slice and metric.

        Columns: `arm_mean`, `baseline_mean`, `mean` of the differences, and the ends of their 95 % intervals over
        seeds, draws and test rows (`seeds_low`, `seeds_high`, ...; null where there is no such interval). Metrics are
        `auc`, `logloss` and `ece`; a positive difference of AUC is a gain.

        >>> import llactr
        >>> found = llactr.evaluate("shop", {"backbones": ["fm"], "arms": ["plain", "paper"], "seeds": 2,
        ...     "training": {"fm": {"max_epochs": 2, "min_steps": 0, "batch_size": 128}}})
        >>> found.frame().columns[:6].tolist()
        ['backbone', 'arm', 'baseline', 'slice', 'metric', 'arm_mean']
        """
        import pandas as pd

        rows = [
            {
                "backbone": comparison.backbone,
                "arm": str(found.arm),
                "baseline": str(found.baseline),
                "slice": found.slice,
                "metric": found.metric,
                "arm_mean": found.arm_mean,
                "baseline_mean": found.baseline_mean,
                "mean": found.mean,
                **_ends("seeds", found.over_seeds),
                **_ends("draws", found.over_draws),
                **_ends("rows", found.over_rows),
            }
            for comparison in self.result.comparisons
            for found in comparison.differences
        ]
        return pd.DataFrame(rows)

    def figure(self, backbone: str | None = None) -> Figure:
        """The differences in test AUC with their intervals, as a matplotlib figure.

        Args:
            backbone: which; None for the first.

        Raises:
            InputError: matplotlib is not installed, or the backbone was not compared.

        >>> import llactr
        >>> found = llactr.evaluate("shop", {"backbones": ["fm"], "arms": ["plain", "paper"], "seeds": 2,
        ...     "training": {"fm": {"max_epochs": 2, "min_steps": 0, "batch_size": 128}}})
        >>> type(found.figure()).__name__
        'Figure'
        """
        from llactr.errors import InputError

        known = {comparison.backbone: comparison for comparison in self.result.comparisons}
        name = backbone or next(iter(known))
        if name not in known:
            raise InputError(f"backbone {name!r} was not compared: choose one of {', '.join(known)}")
        with naming_extras():
            from llactr.diagnostics.pictures import forest_picture

            return forest_picture(known[name]).figure

    def __str__(self) -> str:
        return as_tables(self.result)


def _ends(over: str, interval: Interval | None) -> dict[str, float | None]:
    low, high = interval or (None, None)
    return {f"{over}_low": low, f"{over}_high": high}
