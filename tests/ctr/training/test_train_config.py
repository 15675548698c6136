from __future__ import annotations

import pytest
from pydantic import ValidationError

from llactr.ctr.config import EnhancementConfig
from llactr.ctr.training.config import TrainJobConfig, enhancement_of, has_values, history_arm


@pytest.mark.parametrize(
    ("arm", "fields", "values"),
    [
        ("plain", None, False), ("fre", (True, False), False), ("fie", (False, True), False),
        ("paper", (True, True), False), ("values", None, True), ("fre values", (True, False), True),
        ("fie values", (False, True), True), ("both", (True, True), True),
    ],
)  # fmt: skip
def test_what_the_model_of_an_arm_uses(arm, fields, values):
    found = enhancement_of(arm, EnhancementConfig(lambda_fre=0.25))
    assert (found and (found.fre, found.fie)) == fields
    assert found is None or found.lambda_fre == 0.25
    assert has_values(arm) is values
    assert TrainJobConfig(arm=arm).arm == arm
    assert history_arm(arm) is None


@pytest.mark.parametrize(
    ("arm", "fields", "values", "past"),
    [
        ("history", None, False, "history"), ("items taste text", None, False, "items taste text"),
        ("paper items", (True, True), False, "items"), ("fre values history taste", (True, False), True, "history taste"),
        ("both history taste item-item", (True, True), True, "history taste item-item"),
    ],
)  # fmt: skip
def test_history_stands_alone_or_behind_an_arm(arm, fields, values, past):
    found = enhancement_of(arm, EnhancementConfig())
    assert (found and (found.fre, found.fie)) == fields
    assert has_values(arm) is values
    assert str(history_arm(arm)) == past
    assert TrainJobConfig(arm=arm).arm == arm


ARMS = (
    "plain, fre, fie, paper, values, fre values, fie values, both, or one with history: items, items taste, "
    "items taste text, items taste categories, items taste item-item, history, history taste, history taste text, "
    "history taste categories, history taste item-item"
)


@pytest.mark.parametrize(
    ("arm", "said"),
    [
        ("paper permuted", f"arm 'paper permuted' cannot be trained into a bundle: choose {ARMS}"),
        ("values untuned", f"arm 'values untuned' cannot be trained into a bundle: choose {ARMS}"),
        ("papre", f"arm 'papre' is not known: choose {ARMS}; did you mean 'paper'?"),
        ("history taste permuted", f"arm 'history taste permuted' cannot be trained into a bundle: choose {ARMS}"),
        ("plain history", f"arm 'plain history' is not known: choose {ARMS}"),
        ("histroy", f"arm 'histroy' is not known: choose {ARMS}; did you mean 'history'?"),
        (3, f"arm '3' is not known: choose {ARMS}"),
    ],
)
def test_an_arm_that_no_bundle_has_is_refused_with_those_there_are(arm, said):
    with pytest.raises(ValidationError) as found:
        TrainJobConfig(arm=arm)
    assert said in str(found.value)
