from __future__ import annotations

import math
import re
from html.parser import HTMLParser

import pytest

from llactr.diagnostics import Consistency, ReportData, Semantics, SplitCard, StepCost, render_report, write_report
from llactr.diagnostics.headline import headline, overheads, question, trust
from llactr.diagnostics.words import bytes_size, cosine, count, duration, moment, share
from llactr.evaluation.arms import PLAIN, Arm
from llactr.evaluation.comparison import Baseline, compare
from llactr.evaluation.evidence import Run
from llactr.evaluation.verdict import span
from tests.diagnostics.report_fakes import (
    FIELDS,
    fake_choice,
    fake_comparison,
    fake_curves,
    fake_reading,
    fake_report,
    fake_served,
    fake_vectors,
)

HOSTILE = "</text></svg><script>alert('x')</script>\"><img src=x onerror=alert(1)> $\\frac{1}{0}$ {{ 7*7 }}"


class Page(HTMLParser):
    """Counts elements, collects ids, links and text; void elements are not expected to close."""

    void = frozenset({"meta", "br", "img", "link", "path", "use", "input"})

    def __init__(self, text):
        super().__init__()
        self.tags, self.ids, self.links, self.open, self.words = [], [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.ids += [value for name, value in attrs if name == "id"]
        self.links += [value for name, value in attrs if name in ("href", "src", "xlink:href", "data", "srcset")]
        if tag not in self.void:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.void:
            assert self.open.pop() == tag

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in self.void:
            self.open.pop()

    def handle_data(self, data):
        self.words.append(data)


def test_the_page_needs_nothing_from_outside():
    html = render_report(fake_report())
    page = Page(html)
    assert page.open == []
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    assert page.links
    assert all(link.startswith("#") for link in page.links)
    assert re.findall(r"url\((?!#)", html) == []
    assert set(re.findall(r"https?://[^\s\"'<]+", html)) <= {
        "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink",
    }  # fmt: skip


def test_ids_are_unique_and_links_have_their_target():
    page = Page(render_report(fake_report(comparisons=(fake_comparison("FM"), fake_comparison("DeepFM")))))
    assert len(page.ids) == len(set(page.ids))
    assert {link[1:] for link in page.links} <= set(page.ids)


def test_the_same_data_give_the_same_bytes():
    assert render_report(fake_report()) == render_report(fake_report())


def test_data_survive_json_and_render_the_same():
    data = fake_report()
    assert render_report(ReportData.model_validate_json(data.model_dump_json())) == render_report(data)


def test_hostile_names_stay_text():
    data = fake_report(names=[HOSTILE, "a\x00b\n\x1bc", "<b>bold</b>", "性別", "x" * 400, *list(FIELDS)[:6]])
    data = data.model_copy(update={"title": HOSTILE, "steps": (StepCost(name=HOSTILE, seconds=1, note=HOSTILE),)})
    html = render_report(data)
    page = Page(html)
    assert page.open == []
    assert not {"script", "img"} & set(page.tags)
    assert "<script" not in html
    assert "<img" not in html
    assert "<b>bold" not in html
    assert "{{ 7*7 }}" in "".join(page.words)  # shown as it is, not evaluated


def test_every_section_is_filled_or_says_what_to_run():
    full, empty = render_report(fake_report()), render_report(ReportData(dataset="toy"))
    assert 'class="missing"' not in full
    for command in ("evaluate", "train", "tune", "encode", "finetune", "ingest", "run"):
        assert f"<code>llactr {command}</code>" in empty
    assert "Not evaluated yet" in empty


def test_the_verdict_comes_first():
    html = render_report(fake_report())
    assert html.index("It helps, but a placebo does as well") < html.index("What did it cost?")
    assert html.index("Does it help?") < html.index("What did it cost?") < html.index("Can I trust it?")
    assert html.index("Can I trust it?") < html.index('id="h-comparison"')


def test_odd_figures_render():
    data = fake_report(
        comparisons=(fake_comparison(seeds=(7,)), fake_comparison("DeepFM", gains=(0, 0, 0), seeds=(1, 2)))
    )
    assert data.data is not None
    data = data.model_copy(update={
        "curves": (
            data.curves[0].model_copy(update={"train_loss": (math.nan,), "validation_auc": (0.5,), "best_epoch": 3}),
        ),
        "steps": (StepCost(name="ingest", seconds=0.0, skipped=True),),
        "data": data.data.model_copy(
            update={"rows": 0, "positives": 0, "splits": (SplitCard(name="test", rows=0, positives=0),)}
        ),
    })  # fmt: skip
    html = render_report(data)
    assert "One seed cannot tell" in html or "It depends" in html
    assert "nan" not in "".join(Page(html).words).lower().replace("provenance", "")


def test_two_fields_and_sixty_fields_render():
    for size in (2, 60):
        names = [f"field {i}" for i in range(size)]
        html = render_report(ReportData(dataset="toy", semantics=Semantics.measure(fake_vectors(names))))
        assert html.count('role="img" aria-label="Heat map') == 2


def test_semantics_measured_from_vectors():
    found = Semantics.measure(fake_vectors(list(FIELDS)), k=2)
    assert [row.field for row in found.nearest] == list(FIELDS)
    assert all(len(row.neighbours) == 2 for row in found.nearest)
    assert found.raw.mean_off_diagonal > 0.8 > 0.1 > found.centered.mean_off_diagonal
    assert (found.faiss_device, found.version) == ("cpu", "9f2c51ab77e04d13")


def test_a_matrix_of_the_wrong_size_is_refused():
    raw = Semantics.measure(fake_vectors(["a", "b"])).raw
    with pytest.raises(ValueError, match="the similarity matrix is not 3 x 3"):
        raw.model_validate({**raw.model_dump(), "fields": ("a", "b", "c")})


def test_backbones_that_disagree_are_told_apart():
    data = ReportData(dataset="toy", comparisons=(
        fake_comparison("FM", gains=(0.004, 0.001, 0)), fake_comparison("WuKong", gains=(-0.004, 0, 0)),
        fake_comparison("DeepFM", gains=(0.005, 0.001, 0)),
    ))  # fmt: skip
    assert headline(data).title == "It depends: helps and depends on meaning in FM and DeepFM; hurts in WuKong"
    assert [round(found.ratio, 3) for found in overheads(data)] == [round(6.0 / 4.1, 3)] * 3


def test_treatments_that_disagree_are_told_apart():
    found = fake_comparison(treatments=("paper", "values"), gains=(0.004, 0.001, 0))
    assert headline(ReportData(dataset="toy", comparisons=(found,))).title == (
        "It helps, and the gain depends on meaning"
    )
    hurting = fake_comparison("WuKong", gains=(-0.004, 0, 0))
    assert headline(ReportData(dataset="toy", comparisons=(found, hurting))).title == (
        "It depends: helps and depends on meaning in FM paper and FM values; hurts in WuKong paper"
    )
    plain = compare("FM", [Run(PLAIN, 0, 0, {"all": {"auc": 0.7}})])
    alone = ReportData(dataset="toy", comparisons=(plain,))
    assert headline(alone).title == "Nothing was compared with plain"
    assert 'id="comparison"' in render_report(alone)


def test_the_report_says_when_the_test_split_was_read():
    earlier = ("2026-11-22T10:00:00+00:00",)
    data = fake_report().model_copy(update={"test_reading": fake_reading(earlier=earlier)})
    words = " ".join("".join(Page(render_report(data)).words).split())
    assert "The 7 286 test rows were read once, at 2026-11-23 21:29 UTC, after all 12 models" in words
    assert "Earlier evaluations in this workspace read the same split at 2026-11-22 10:00 UTC" in words
    assert "1 earlier evaluation here read the same test split" in words


def test_slices_have_their_differences_with_every_interval():
    comparison = fake_comparison(draws=3, treatments=("values",), gains=(0.004, 0.001, 0))
    data = fake_report(comparisons=(comparison,)).model_copy(update={"test_reading": fake_reading(draws=3)})
    words = " ".join(" ".join(Page(render_report(data)).words).split())
    found = comparison.difference("values", part="unseen items")
    assert found is not None
    for interval in (found.over_draws, found.over_seeds, found.over_rows):
        assert " ".join(span(interval).split()) in words
    assert "unseen items 300–314 values" in words


def test_curves_are_shown_a_treatment_at_a_time():
    treatments = ("paper", "values")
    data = ReportData(dataset="toy", curves=fake_curves(treatments=treatments))
    html = render_report(data)
    for treatment in treatments:
        names = f"plain, {treatment}, {treatment} permuted, {treatment} random"
        assert f'aria-label="Validation AUC by epoch for {names}."' in html


def test_trust_counts_what_was_checked():
    data = fake_report(comparisons=(fake_comparison(seeds=(1,)),))
    assert [check.state for check in trust(data)] == ["yes", "no", "yes", "yes", "yes"]
    assert [check.state for check in trust(ReportData(dataset="toy"))] == ["open"]
    broken = data.model_copy(
        update={"consistency": Consistency(rows=10, rows_with_other_ids=1, max_score_difference=0)}
    )
    assert trust(broken)[0].text.startswith("Online differs from offline: 1 of 10 rows have other ids")


@pytest.mark.parametrize(
    ("rows", "ids", "difference", "holds"),
    [(1000, 0, 1e-6, True), (1000, 1, 0.0, False), (1000, 0, 1.1e-6, False), (0, 0, 0.0, False)],
)
def test_consistency_holds_only_within_the_tolerance(rows, ids, difference, holds):
    assert Consistency(rows=rows, rows_with_other_ids=ids, max_score_difference=difference).holds is holds


def test_numbers_in_words():
    assert (count(1682), count(None), share(0.7604), share(0.00001), share(1.0)) == (
        "1\u202f682", "–", "76.0\u202f%".replace(".0", ""), "< 0.1\u202f%", "100\u202f%",
    )  # fmt: skip
    assert [duration(s) for s in (0, 0.01, 9.44, 59.96, 161, 3900)] == [
        "0.0\u202fs", "< 0.1\u202fs", "9.4\u202fs", "1\u202fmin 00\u202fs", "2\u202fmin 41\u202fs",
        "1\u202fh 05\u202fmin",
    ]  # fmt: skip
    assert (bytes_size(1_310_000_000), bytes_size(410_000_000)) == ("1.31\u202fGB", "410\u202fMB")
    assert (cosine(-0.004), cosine(-0.5)) == ("0.00", "−0.50")
    assert (moment("2026-11-23T23:30:00+02:00"), moment("someday")) == ("2026-11-23 21:30 UTC", "someday")


def test_write_report_replaces_the_file_as_a_whole(tmp_path):
    path = write_report(ReportData(dataset="toy"), tmp_path / "deep" / "report.html")
    assert path.read_text(encoding="utf-8") == render_report(ReportData(dataset="toy"))
    assert [found.name for found in path.parent.iterdir()] == ["report.html"]


def test_warnings_of_ingest_stand_before_the_figures_of_the_data():
    data = fake_report()
    said = f"600 of 600 events find no row in the user table {HOSTILE}"
    page = render_report(data.model_copy(update={"data": data.data.model_copy(update={"warnings": (said,)})}))
    assert "Warning." in page
    assert "<script>alert('x')" not in page
    text = " ".join(Page(page).words)
    assert text.index("600 of 600 events find no row in the user table") < text.index("Labelled rows")
    assert "Warning." not in render_report(data)


def words_of(data: ReportData) -> str:
    return " ".join(" ".join(Page(render_report(data)).words).split())


def test_the_headline_is_about_the_served_model():
    """A report spoke of 'paper' where 'values' was served, and was .16 ahead."""
    good = fake_comparison("DeepFM", gains=(0.02, 0.001, 0.001), treatments=("values",))
    data = fake_report(comparisons=(fake_comparison("FM"), good))
    assert headline(data).title.startswith("It depends")
    served = data.model_copy(update={"served": fake_served("values", backbone="DeepFM", choice=fake_choice())})
    said = headline(served)
    assert (said.title, said.tone) == ("It helps, and the gain depends on meaning", "good")
    assert said.sentences[0].startswith("With values instead of plain, DeepFM's test AUC changes by +0.02")
    assert said.sentences[1].startswith("With paper instead of plain, FM's")
    mostly = fake_comparison("DeepFM", gains=(0.16, 0.15, 0.1), treatments=("values",))
    said = headline(served.model_copy(update={"comparisons": (mostly,)}))
    assert (said.title, said.tone) == ("It helps, and part of the gain depends on meaning", "partly")
    assert "the nearest of these has all but +0.01" in said.sentences[0]
    words = words_of(served)
    assert "Served: DeepFM values" in words
    assert words.index("DeepFM, values against plain") < words.index("FM, paper")
    assert "Chosen on validation: the simplest arm within one standard error of the best. Paper is within it." in words
    assert "movielens-100k-DeepFM-values-3f2a 0.7757 0.4520 0.5810 0.0210 5 412 5 335" in words


def test_what_is_wrong_with_the_served_model_is_said_before_all_else():
    doubts = ("test AUC is 0.4384, below chance (.5): it ranks worse than drawing lots", "it expects 900 clicks")
    data = fake_report().model_copy(update={"served": fake_served(doubts=doubts)})
    said = headline(data)
    assert (said.title, said.tone) == ("FM paper is not fit to be served", "bad")
    assert said.sentences[0] == f"Test AUC{doubts[0][8:]}; {doubts[1]}."
    assert "refuses it unless told --anyway" in words_of(data)


def test_a_served_model_that_few_clicks_cannot_tell_from_chance_is_said_to_be_that():
    """Of 33 clicks in 6,000 rows the headline was that plain is served, the simplest and the best."""
    served = fake_served("plain", choice=fake_choice("plain"))
    few = served.model_copy(update={"rows": 6000, "clicks": 33, "auc": 0.5978})
    said = headline(fake_report().model_copy(update={"served": few}))
    assert (said.title, said.tone) == ("Too few clicks to tell FM plain from chance", "neutral")
    assert said.sentences[:2] == (
        "Test AUC is 0.5978, known to 0.1026 either way with 33 clicks: chance (.5) is within.", "Plain is within it.",
    )  # fmt: skip


def test_an_auc_that_is_too_good_is_said_before_any_verdict():
    """A column was the label, and the headline said that plain is the simplest and the best."""
    leaky = fake_served("plain", choice=fake_choice("plain")).model_copy(update={"auc": 0.9996})
    said = headline(fake_report().model_copy(update={"served": leaky}))
    assert (said.title, said.tone) == ("Too good to be true", "bad")
    assert said.sentences[0].startswith("Test AUC is 0.9996, better than clicks can be foretold: a column is likely to")
    assert said.sentences[1] == "Plain is within it."
    doubted = leaky.model_copy(update={"doubts": ("it expects 900 clicks",)})
    said = headline(fake_report().model_copy(update={"served": doubted}))
    assert said.title == "FM plain is not fit to be served"
    assert [one[:12] for one in said.sentences[:2]] == ["It expects 9", "Test AUC is "]


def test_a_served_arm_that_items_click_rates_outrank_is_said_to_be_that():
    popular = Baseline(name="popularity", metrics={"all": {"auc": 0.79, "user_auc": None}})
    comparison = fake_comparison().model_copy(update={"baselines": (popular,)})
    data = fake_report(comparisons=(comparison,)).model_copy(update={"served": fake_served()})
    ours = comparison.arm("paper").mean("auc")
    said = f"The click rate of items alone ranks these rows better than paper: AUC 0.7900 against {ours:.4f}"
    assert ("no", said) in [(check.state, check.text) for check in trust(data)]
    level = popular.model_copy(update={"metrics": {"all": {"auc": ours + 0.0009}}})
    data = data.model_copy(update={"comparisons": (comparison.model_copy(update={"baselines": (level,)}),)})
    assert not any("click rate of items" in check.text for check in trust(data)), "less than the margin"


@pytest.mark.parametrize(
    ("moment", "said"), [(0.72, ""), (0.69, "AUC within users as of one moment 0.7000 against 0.6900")]
)
def test_a_past_is_compared_with_items_click_rates_as_of_one_moment(moment, said):
    """MovieTweetings' report doubted an arm that ranks better than the click rates of items at any one moment."""
    runs = [
        Run(Arm.parse(arm), 0, seed, {"all": {"auc": auc, "user_auc": 0.65, "moment_auc": at}})
        for arm, auc, at in (("plain", 0.7, 0.65), ("history", 0.75, moment))
        for seed in (0, 1, 2)
    ]
    popular = Baseline(name="popularity", metrics={"all": {"auc": 0.6, "user_auc": 0.7}})
    comparison = compare("FM", runs).model_copy(update={"baselines": (popular,)})
    data = fake_report(comparisons=(comparison,)).model_copy(update={"served": fake_served("history")})
    doubts = [check.text for check in trust(data) if "click rate of items" in check.text]
    assert doubts == ([f"The click rate of items alone ranks these rows better than history: {said}"] if said else [])
    assert "go by what is said above as of one moment" in render_report(data)


@pytest.mark.parametrize(
    ("treatments", "state", "words"),
    [
        (("paper",), "no", "2 paired seeds: too few, run at least 3 seeds"),
        (
            ("paper", "values"),
            "yes",
            "2 paired seeds, what they change taken from all arms together, 95\u202f% intervals",
        ),
    ],
)
def test_two_seeds_are_too_few_for_two_arms_alone(treatments, state, words):
    def some(arm, auc):
        return [Run(Arm.parse(arm), 0, seed, {"all": {"auc": auc + seed / 1000}}) for seed in (0, 1)]

    runs = [*some("plain", 0.7), *(run for arm in treatments for run in some(arm, 0.71))]
    checks = trust(ReportData(dataset="toy", comparisons=(compare("FM", runs),)))
    assert (state, words) in [(check.state, check.text) for check in checks]


def test_the_question_names_what_the_served_model_has():
    """`items` helped where a report had asked whether vectors do."""
    asked = {
        "plain": "Do the language model's vectors help on ",
        "values": "Do the language model's vectors help on ",
        "items": "Does what happened before help on ",
        "history": "Does what happened before help on ",
        "history taste": "Do what happened before and the language model's vectors help on ",
    }
    whole = fake_comparison()
    bare = whole.model_copy(update={"arms": tuple(runs for runs in whole.arms if runs.arm.placebo is None)})
    for arm, said in asked.items():
        data = fake_report().model_copy(update={"served": fake_served(arm)})
        assert question(data) == f"{said}{data.title or data.dataset}?"
        words = [check.text for check in trust(data.model_copy(update={"comparisons": (bare,)}))]
        assert any(word == "No placebo was run: what is served reads no vectors" for word in words) is (
            arm in {"plain", "items", "history"}
        )
    assert question(fake_report().model_copy(update={"served": None})).startswith("Do the language model's vectors")


def test_a_plain_model_that_is_served_is_said_to_be_plain():
    choice = fake_choice("plain")
    data = fake_report().model_copy(update={"served": fake_served("plain", choice=choice)})
    said = headline(data)
    assert said.title == "FM is served plain, without vectors"
    assert said.sentences[0] == "Plain is within it."
    assert said.sentences[1].startswith("With paper instead of plain")


def test_a_served_arm_that_was_not_evaluated_is_said():
    data = fake_report().model_copy(update={"served": fake_served("values")})
    said = headline(data)
    assert (said.title, said.tone) == ("What is served was not evaluated", "bad")
    assert "run 'llactr evaluate --backbone FM --arm plain --arm 'values''" in said.sentences[0]


def test_ranking_figures_baselines_and_counts_are_shown():
    runs = [
        Run(Arm.parse(arm), 0, seed, {"all": {"auc": auc, "logloss": 0.5, "ece": 0.02, "user_auc": auc - 0.1,
            "ndcg": 0.61, "recall": 0.37}}, drawn="users")
        for arm, auc in (("plain", 0.77), ("paper", 0.78)) for seed in range(3)
    ]  # fmt: skip
    baselines = [Baseline(name="constant", metrics={"all": {"auc": 0.5, "logloss": 0.61, "ece": 0.01}})]
    reading = fake_reading().model_copy(
        update={"splits": {"train": (58284, 44560), "validation": (7285, 5480), "test": (7286, 5335)}, "users": 141}
    )
    comparison = compare("FM", runs, baselines=baselines)
    data = fake_report(comparisons=(comparison,)).model_copy(update={"test_reading": reading})
    words = words_of(data)
    assert "AUC within users against plain NDCG@10 Recall@10 Logloss" in words
    assert "plain 0.7700 – 0.6700 – 0.6100 0.3700 0.5000" in words
    assert "constant no model 0.5000 – – – 0.6100 0.0100" in words
    assert "Test 7 286 rows with 5 335 clicks" in words
    assert "those of 141 users. Rows of one user are not independent, so intervals are drawn by whole users." in words
    assert "called neither a help nor a harm" in words


@pytest.mark.parametrize(
    ("validation", "test", "said"),
    [
        ((6000, 32), (6000, 33), "Few clicks, or few rows without: 32 in validation and 33 in test"),
        ((6000, 3200), (6000, 5950), "Few clicks, or few rows without: 5 950 in test"),
        ((6000, 100), (6000, 5900), None),
    ],
)
def test_few_clicks_are_a_reason_not_to_trust(validation, test, said):
    splits = {"train": (48000, 222), "validation": validation, "test": test}
    data = fake_report().model_copy(update={"test_reading": fake_reading().model_copy(update={"splits": splits})})
    found = [" ".join(one.text.split()) for one in trust(data) if one.state == "no"]
    assert found == ([said] if said else [])


def test_where_too_few_click_the_report_says_that_nothing_is_drawn():
    data = fake_report()
    first, *others = data.comparisons
    few = first.model_copy(update={"differences": tuple(d.model_copy(update={"scarce": 1}) for d in first.differences)})
    reading = data.test_reading.model_copy(update={"splits": {"test": (200, 1)}, "users": 40})
    data = data.model_copy(update={"test_reading": reading})
    said = "Here there are none: too few have a click, or a row without one."
    assert said not in words_of(data)
    assert said in words_of(data.model_copy(update={"comparisons": (few, *others)}))
