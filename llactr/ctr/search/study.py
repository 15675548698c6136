"""A search by Optuna that can be stopped at any moment and taken up again.

Every trial is in a journal, one JSON object a line, before the next one begins. Each draws from a generator of its own,
seeded by the study's seed and the trial's number: a trial that was cut short draws the same values again, and
interruptions change nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llactr.ctr.search.space import Dimension
from llactr.errors import StepError
from llactr.extras import naming_extras

if TYPE_CHECKING:
    import optuna

__all__ = ["JOURNAL", "Study", "Trial", "TrialScore"]

JOURNAL = "trials.jsonl"
_NAME = "tune"
_VALUES, _SCORE, _FAILURE = "values", "score", "failure"


@dataclass(frozen=True)
class TrialScore:
    """What a trial reached on the validation split."""

    auc: float
    logloss: float
    seconds: float


@dataclass(frozen=True)
class Trial:
    """A finished trial. `score` is None where it failed (a loss that was not finite)."""

    number: int
    values: dict[str, float]
    score: TrialScore | None

    def as_json(self) -> dict[str, Any]:
        """The trial as JSON-like data."""
        score = asdict(self.score) if self.score else {"auc": None, "logloss": None, "seconds": None}
        return {"number": self.number, "values": self.values, **score}


class Study:
    """The trials in a folder.

    Args:
        folder: holds the journal; made when there is none.
        dimensions: what is searched; the same whenever the study is taken up.
        seed: of the search.
    """

    def __init__(self, folder: Path, dimensions: tuple[Dimension, ...], *, seed: int) -> None:
        with naming_extras():
            import optuna
            from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        folder.mkdir(parents=True, exist_ok=True)
        journal = folder / JOURNAL
        (folder / f"{JOURNAL}.lock").unlink(missing_ok=True)  # of a process that was killed; the folder is ours
        _cut_torn_line(journal)
        backend = JournalFileBackend(str(journal), JournalFileOpenLock(str(journal)))
        storage = optuna.storages.JournalStorage(backend)
        self._optuna = optuna
        self._seed = seed
        self._distributions = {found.name: _distribution(optuna, found) for found in dimensions}
        self._study = optuna.create_study(
            storage=storage, study_name=_NAME, direction="maximize", load_if_exists=True, sampler=self._sampler(0)
        )

    @property
    def trials(self) -> tuple[Trial, ...]:
        """The finished trials in their order, failed ones included; those that were cut short are left out."""
        found = [one.user_attrs for one in self._study.get_trials(deepcopy=False) if one.state.is_finished()]
        notes = [one for one in found if _FAILURE in one]
        return tuple(
            Trial(number, dict(one[_VALUES]), TrialScore(**one[_SCORE]) if one[_SCORE] else None)
            for number, one in enumerate(notes)
        )

    @property
    def best(self) -> Trial | None:
        """The trial of the highest validation AUC, the first of equals."""
        scored = [trial for trial in self.trials if trial.score is not None]
        return max(scored, key=lambda trial: trial.score.auc if trial.score else -math.inf, default=None)

    def run(
        self,
        objective: Callable[[Mapping[str, float]], TrialScore],
        *,
        trials: int,
        first: Mapping[str, float],
        progress: Callable[[Trial], None] | None = None,
    ) -> None:
        """Goes on until there are so many finished trials.

        Args:
            objective: values -> score; it sees training and validation rows only. StepError makes a failed trial.
            trials: how many, those of earlier runs included.
            first: the values of trial 0.
            progress: called after each trial.
        """
        self._end_running()
        while (number := len(self.trials)) < trials:
            self._study.sampler = self._sampler(number)
            trial = None if number == 0 else self._study.ask(self._distributions)
            values = dict(first) if trial is None else dict(trial.params)
            score, failure = None, ""
            try:
                score = objective(values)
            except StepError as error:
                failure = str(error)
            self._tell(trial, values, score, failure)
            if progress is not None:
                progress(self.trials[-1])

    def _tell(
        self, trial: optuna.Trial | None, values: dict[str, float], score: TrialScore | None, failure: str
    ) -> None:
        states = self._optuna.trial.TrialState
        state = states.FAIL if score is None else states.COMPLETE
        notes = {_VALUES: values, _SCORE: asdict(score) if score else None, _FAILURE: failure}
        if trial is None:
            self._study.add_trial(
                self._optuna.trial.create_trial(
                    state=state,
                    params=values,
                    distributions=self._distributions,
                    value=score.auc if score else None,
                    user_attrs=notes,
                )
            )
            return
        for name, note in notes.items():
            trial.set_user_attr(name, note)
        self._study.tell(trial, score.auc if score else None, state=state)

    def _end_running(self) -> None:
        """Ends a trial that a killed process left running; the next one draws the same values again."""
        states = self._optuna.trial.TrialState
        for found in self._study.get_trials(deepcopy=False, states=(states.RUNNING,)):
            self._study.tell(found.number, state=states.FAIL)

    def _sampler(self, number: int) -> optuna.samplers.BaseSampler:
        # A few random trials first: a dozen trials are the usual case.
        return self._optuna.samplers.TPESampler(seed=self._seed * 100_003 + number, n_startup_trials=6)


def _distribution(optuna: Any, found: Dimension) -> optuna.distributions.BaseDistribution:
    if found.whole:
        return optuna.distributions.IntDistribution(int(found.low), int(found.high), log=found.log)
    return optuna.distributions.FloatDistribution(found.low, found.high, log=found.log)


def _cut_torn_line(journal: Path) -> None:
    """Removes the last line if a kill cut it short: Optuna would refuse the whole journal once more is written."""
    if not journal.exists():
        return
    content = journal.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        with journal.open("r+b") as file:
            file.truncate(whole)
