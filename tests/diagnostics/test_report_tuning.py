from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest

from llactr.diagnostics import ReportData, TunedTrial, Tuning, render_report, trials_picture, tuned_picture
from llactr.diagnostics.words import setting
from tests.diagnostics.report_fakes import fake_tuning

SVG = "{http://www.w3.org/2000/svg}"


def one_trial(auc: float | None) -> Tuning:
    tuning = fake_tuning(trials=1)
    return tuning.model_copy(update={"trials": (tuning.trials[0].model_copy(update={"auc": auc}),)})


def test_the_best_trial_is_the_first_of_the_highest():
    tuning = fake_tuning()
    assert tuning.best is not None
    assert tuning.best.auc == max(trial.auc for trial in tuning.trials if trial.auc is not None)
    twice = (*tuning.trials, tuning.best.model_copy(update={"number": len(tuning.trials)}))
    assert tuning.model_copy(update={"trials": twice}).best == tuning.best
    assert one_trial(None).best is None


def test_pictures_say_what_they_show():
    tuning = fake_tuning()
    assert tuning.best is not None
    picture = trials_picture(tuning)
    assert picture.label == (
        f"Validation AUC by trial: {tuning.best.auc:.4f} at best, in trial {tuning.best.number} of {len(tuning.trials)}."
    )
    texts = ["".join(found.itertext()) for found in ET.fromstring(picture.svg()).iter(f"{SVG}text")]
    assert "trial" in texts
    for dimension in tuning.dimensions:
        svg = tuned_picture(tuning, dimension).svg()
        assert dimension.name in ["".join(found.itertext()) for found in ET.fromstring(svg).iter(f"{SVG}text")]


def test_logarithmic_axes_have_round_numbers():
    tuning = fake_tuning()
    ticks = {}
    for dimension in tuning.dimensions:
        picture = tuned_picture(tuning, dimension)
        ticks[dimension.name] = [text.get_text() for text in picture.figure.axes[0].get_xticklabels()]
    assert ticks["weight_decay"] == ["1e−08", "1e−06", "0.0001"]
    assert {"10", "20", "50"} <= set(ticks["rank"])
    assert all(1 <= len(found) <= 5 for found in ticks.values())


def test_the_report_has_defaults_and_best_side_by_side():
    tuning = fake_tuning("DeepFM")
    assert tuning.best is not None
    html = render_report(ReportData(dataset="toy", tuning=(tuning, fake_tuning("FM", arm="paper"))))
    assert html.count('aria-label="Validation AUC by learning_rate') == 2
    row = re.search(r'<th scope="row">learning_rate</th><td class="n">(.+?)</td><td class="n">(.+?)</td>', html)
    assert row is not None
    assert row.groups() == tuple(setting(trial.values["learning_rate"]) for trial in (tuning.trials[0], tuning.best))
    assert "diverged" in html
    assert "the test split is cut off before the first trial" in html


@pytest.mark.parametrize("auc", [0.7, None])
def test_a_search_of_one_trial_renders(auc):
    html = render_report(ReportData(dataset="toy", tuning=(one_trial(auc),)))
    assert ("0.7000" in html) is (auc is not None)
    assert ("none of 1 trials reached a finite loss" in html) is (auc is None)


def test_a_trial_without_a_dimension_is_refused():
    tuning = fake_tuning(trials=1)
    with pytest.raises(ValueError, match="a trial does not have exactly the values lambda_fie, lambda_fre"):
        Tuning(backbone="fm", arm="plain", dimensions=tuning.dimensions,
               trials=(TunedTrial(number=0, values={"tau": 1.0}, auc=0.5),))  # fmt: skip


def test_settings_in_words():
    assert [setting(value) for value in (0.001, 2.43e-5, 24, 1e-8)] == ["0.001", "2.43e−05", "24", "1e−08"]
