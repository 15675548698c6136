"""A report of invented figures, large enough to fill every section."""

from __future__ import annotations

import numpy as np

from llactr.diagnostics import (
    Consistency,
    Curve,
    DataCard,
    FieldAccuracy,
    FieldCard,
    Provenance,
    ReportData,
    Semantics,
    ServedModel,
    SplitCard,
    StepCost,
    TestReading,
    TunedDimension,
    TunedTrial,
    Tuning,
)
from llactr.evaluation.arms import Arm
from llactr.evaluation.choice import CandidateFigures, Choice
from llactr.evaluation.comparison import compare
from llactr.evaluation.evidence import Run
from llactr.semantics import FieldVectors

KINDS = ("", " permuted", " random")

FIELDS = {
    "user_id": ("the user's own id", "user", "categorical", 943, ("196", "186", "22")),
    "age": ("the age of the user in years", "user", "numeric", 61, ("24", "53", "33")),
    "gender": ("the gender of the user", "user", "categorical", 2, ("F", "M")),
    "occupation": ("what the user does for a living", "user", "categorical", 21, ("writer", "technician", "student")),
    "zip_code": ("the postal code of the user's home in the United States", "user", "categorical", 795, ("85711",)),
    "movie_id": ("the film's own id", "item", "categorical", 1682, ("242", "302", "377")),
    "title": ("the words of the film's title", "item", "multi_valued", 2638, ("Toy Story", "GoldenEye")),
    "release_year": ("the year in which the film came to cinemas", "item", "numeric", 72, ("1995", "1994")),
    "genre": ("the genres of the film", "item", "multi_valued", 19, ("Drama", "Comedy", "Film-Noir")),
    "hour": ("the hour of the day at which the user rates, UTC", "context", "timestamp_part", 24, ("0", "13")),
    "weekday": ("the day of the week on which the user rates", "context", "timestamp_part", 7, ("0", "6")),
}


def fake_vectors(names, *, version="9f2c51ab77e04d13", seed=0, dim=32):
    """Unit vectors with a large common part, in groups that resemble each other."""
    rng = np.random.default_rng(seed)
    groups = rng.normal(size=(4, dim))
    array = np.stack([2.0 + 0.6 * groups[i * 4 // len(names)] + 0.4 * rng.normal(size=dim) for i in range(len(names))])
    array /= np.linalg.norm(array, axis=1, keepdims=True)
    return FieldVectors(
        dataset="movielens-100k", version=version, encoder="all-MiniLM-L6-v2 + LoRA", fields=tuple(names),
        descriptions=tuple(names), vectors=array.astype(np.float32),
    )  # fmt: skip


def fake_comparison(backbone="FM", *, gains=(0.0012, 0.0010, 0.0008), seeds=(1, 2, 3), plain=0.7745, draws=1,
                    treatments=("paper",)):  # fmt: skip
    """Plain, each treatment, its permuted and random placebos in three slices; `gains` are over plain."""
    rng = np.random.default_rng(len(backbone))
    cells = [(draw, seed) for draw in range(draws) for seed in seeds]
    bases = plain + 0.0006 * rng.normal(size=len(cells))
    names = [(f"{one}{kind}", gain) for one in treatments for kind, gain in zip(KINDS, gains, strict=True)]
    runs = []
    for arm, gain in (("plain", 0.0), *names):
        for (draw, seed), base in zip(cells, bases, strict=True):
            auc = float(base + (gain + 0.00018 * rng.normal() if arm != "plain" else 0))
            spread = np.linspace(-0.0003, 0.0003, 41) * (arm != "plain")
            parts = {"all": auc, "unseen items": auc - 0.1 + 9 * gain, "warm": auc + 0.1}
            runs.append(Run(
                Arm.parse(arm), draw, seed,
                {part: {"auc": value, "logloss": 1.3 - value, "ece": 0.02} for part, value in parts.items()},
                {part: {"auc": value + spread, "logloss": 1.3 - value - spread} for part, value in parts.items()},
                train_s=4.1 + (1.9 if arm != "plain" else 0.0),
            ))  # fmt: skip
    return compare(backbone, runs)


def fake_served(arm="paper", *, backbone="FM", doubts=(), choice=None):
    """The bundle trained last."""
    return ServedModel(
        bundle=f"movielens-100k-{backbone}-{arm}-3f2a", backbone=backbone, arm=arm, rows=7286, clicks=5335, auc=0.7757,
        logloss=0.452, ece=0.021, constant_logloss=0.581, expected_clicks=5412.4, doubts=doubts, choice=choice,
    )  # fmt: skip


def fake_choice(served="paper", *, backbone="FM"):
    """Two arms on validation."""

    def figures(arm, auc, behind):
        return CandidateFigures(
            arm=Arm.parse(arm), auc=auc, user_auc=auc - 0.1, logloss=0.5, behind={"auc": behind, "user_auc": behind},
            error={"auc": 0.0004, "user_auc": 0.0007}, within=(),
        )  # fmt: skip

    return Choice(
        backbone=backbone, served=Arm.parse(served), rule="the simplest arm within one standard error of the best",
        reason=f"{served} is within it", candidates=(figures("plain", 0.771, 0.002), figures("paper", 0.773, 0.0)),
        rows=7285, clicks=5480, users=141, seeds=3,
    )  # fmt: skip


def fake_reading(*, draws=1, seeds=3, earlier=()):
    return TestReading(
        design="items" if draws > 1 else "chronological", draws=draws, seeds=seeds, rows=7286, models_before=12,
        slice_rows={"all": (7286,) * draws, "unseen items": tuple(300 + 7 * draw for draw in range(draws)),
                    "warm": (900,) * draws},
        read_at="2026-11-23T21:29:10+00:00", earlier_readings=earlier,
    )  # fmt: skip


def fake_curves(backbone="FM", seeds=(1, 2, 3), treatments=("paper",)):
    rng = np.random.default_rng(3)
    found = []
    for i, arm in enumerate(("plain", *(f"{one}{kind}" for one in treatments for kind in KINDS))):
        for seed in seeds:
            epochs = 11 + int(rng.integers(0, 4))
            steps = np.arange(1, epochs + 1)
            auc = 0.778 + 0.001 * (i > 0) - 0.09 * np.exp(-steps / 2.6) - 0.0004 * np.maximum(steps - 9, 0)
            auc += 0.0008 * rng.normal(size=epochs)
            loss = 0.52 + 0.17 * np.exp(-steps / 3) + 0.002 * rng.normal(size=epochs) + 0.01 * (i == 0)
            found.append(Curve(
                backbone=backbone, arm=arm, seed=seed, train_loss=tuple(map(float, loss)),
                validation_auc=tuple(map(float, auc)), best_epoch=int(auc.argmax()) + 1,
            ))  # fmt: skip
    return tuple(found)


def fake_tuning(backbone="FM", *, arm="both", trials=24):
    """A search in which the learning rate matters most; one trial diverges and one fails badly."""
    rng = np.random.default_rng(11)
    names = ("learning_rate", "weight_decay", "lambda_fre", "lambda_fie", "tau", "rank")
    found = []
    for number in range(trials):
        values = {
            "learning_rate": 10 ** rng.uniform(-3.6, -2.3), "weight_decay": 10 ** rng.uniform(-8, -2),
            "lambda_fre": 10 ** rng.uniform(-2, -0.2), "lambda_fie": 10 ** rng.uniform(-2, -0.2),
            "tau": 10 ** rng.uniform(0.3, 2.3), "rank": int(rng.integers(4, 65)),
        }  # fmt: skip
        auc = 0.783 - 0.01 * (np.log10(values["learning_rate"]) + 2.8) ** 2 - 0.001 * rng.random()
        auc = {5: None, 9: 0.61}.get(number, float(auc))
        found.append(TunedTrial(
            number=number, values=values, auc=auc, logloss=auc and 1.3 - auc, seconds=auc and 12.0,
        ))  # fmt: skip
    dimensions = tuple(TunedDimension(name=name, whole=name == "rank") for name in names)
    return Tuning(backbone=backbone, arm=arm, seeds=1, dimensions=dimensions, trials=tuple(found))


def fake_accuracy(names):
    rng = np.random.default_rng(5)
    size = len(names)
    before = rng.poisson(3, size=(size, size)) + 12 * np.eye(size, dtype=int)
    after = rng.poisson(0.6, size=(size, size)) + 34 * np.eye(size, dtype=int)
    return FieldAccuracy(
        fields=tuple(names), before=float(before.trace() / before.sum()), after=float(after.trace() / after.sum()),
        confusion_before=tuple(tuple(map(float, row)) for row in before),
        confusion_after=tuple(tuple(map(float, row)) for row in after), held_out=int(after.sum()),
    )  # fmt: skip


def fake_report(*, names=None, comparisons=None) -> ReportData:
    """All sections; `names` replaces the fields' names."""
    names = tuple(names or FIELDS)
    cards = [
        FieldCard(name=name, description=text, owner=owner, kind=kind, distinct=distinct, nulls=9 * (i % 3 == 2),
                  examples=examples)
        for i, (name, (text, owner, kind, distinct, examples)) in enumerate(
            zip(names, (list(FIELDS.values()) * 9)[: len(names)], strict=True))
    ]  # fmt: skip
    return ReportData(
        dataset="movielens-100k",
        title="MovieLens-100K",
        comparisons=comparisons if comparisons is not None else (fake_comparison(),),
        test_reading=fake_reading(),
        curves=fake_curves(),
        tuning=(fake_tuning(),),
        semantics=Semantics.measure(fake_vectors(names)),
        accuracy=fake_accuracy(names),
        data=DataCard(
            description="100,000 film ratings of 943 users between September 1997 and April 1998.",
            credit="F. Maxwell Harper and Joseph A. Konstan. 2015. The MovieLens Datasets: History and Context. "
            "ACM TiiS 5, 4. Collected by GroupLens Research; fetched, not redistributed.",
            label="rating above 3 is positive; rows with rating 3 are dropped",
            rows=72855, positives=55375, users=943, items=1574, dropped_rows=27145,
            start="1997-09-20T03:05:10Z", end="1998-04-22T23:10:38Z",
            splits=(
                SplitCard(name="train", rows=58284, positives=44560, start="1997-09-20", end="1998-03-09"),
                SplitCard(name="validation", rows=7285, positives=5480, start="1998-03-09", end="1998-03-31"),
                SplitCard(name="test", rows=7286, positives=5335, start="1998-03-31", end="1998-04-22"),
            ),
            fields=tuple(cards),
        ),
        steps=(
            StepCost(name="ingest", seconds=2.4, cpu_s=2.9, peak_rss_bytes=410_000_000, skipped=True),
            StepCost(name="finetune", seconds=31.8, cpu_s=33.0, peak_rss_bytes=1_180_000_000, note="2 epochs, r=8"),
            StepCost(name="encode", seconds=0.6, cpu_s=0.6, peak_rss_bytes=1_190_000_000),
            StepCost(name="materialize", seconds=6.2, cpu_s=5.9, peak_rss_bytes=1_200_000_000),
            StepCost(name="train", seconds=9.4, cpu_s=17.2, peak_rss_bytes=1_240_000_000, note="FM, enhanced"),
            StepCost(name="evaluate", seconds=71.5, cpu_s=139.0, peak_rss_bytes=1_300_000_000, note="4 arms × 3 seeds"),
            StepCost(name="check", seconds=4.0, cpu_s=3.8, peak_rss_bytes=1_310_000_000, note="1000 rows"),
        ),
        consistency=Consistency(rows=1000, rows_with_other_ids=0, max_score_difference=2.98e-8),
        provenance=Provenance(
            created="2026-11-23T21:30:00+00:00", command="llactr quickstart", device="CPU, 2 threads", seeds=(1, 2, 3),
            packages={"llactr": "0.1.0", "torch": "2.13.0", "feast": "0.67.0", "duckdb": "1.5.6", "pyarrow": "26.0.1",
                      "transformers": "5.23.0", "sentence-transformers": "6.2.0", "peft": "0.21.2",
                      "faiss-cpu": "1.15.1"},
            hashes={"events": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
                    "adapter": "9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407",
                    "bundle FM enhanced, seed 1": "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"},
        ),
    )  # fmt: skip
