from __future__ import annotations

import pytest
from pydantic import ValidationError

from llactr.ctr.config import EnhancementConfig
from llactr.ctr.training.config import TrainJobConfig, enhancement_of, has_values


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


ARMS = "plain, fre, fie, paper, values, fre values, fie values, both"


@pytest.mark.parametrize(
    ("arm", "said"),
    [
        ("paper permuted", f"arm 'paper permuted' cannot be trained into a bundle: choose {ARMS}"),
        ("values untuned", f"arm 'values untuned' cannot be trained into a bundle: choose {ARMS}"),
        ("papre", f"arm 'papre' is not known: choose {ARMS}; did you mean 'paper'?"),
        (3, f"arm '3' is not known: choose {ARMS}"),
    ],
)
def test_an_arm_that_no_bundle_has_is_refused_with_those_there_are(arm, said):
    with pytest.raises(ValidationError) as found:
        TrainJobConfig(arm=arm)
    assert said in str(found.value)
