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


@pytest.mark.parametrize("arm", ["paper permuted", "values untuned", "magic", 3])
def test_an_arm_that_no_bundle_has_is_refused_with_those_there_are(arm):
    said = f"arm {str(arm)!r} cannot be trained into a bundle: choose plain, fre, fie, paper, values, fre values, fie values, both"
    with pytest.raises(ValidationError) as found:
        TrainJobConfig(arm=arm)
    assert said in str(found.value)
