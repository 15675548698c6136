"""What `llactr run` compares is what it trains and serves."""

from __future__ import annotations

from llactr.evaluation.arms import Arm
from llactr.lifecycle.config import RunConfig

TRAINING = {"learning_rate": 0.01}


def judged(**sections: object):
    return RunConfig.model_validate(sections).judged


def test_the_backbone_that_is_trained_is_compared_first_and_as_it_is_trained() -> None:
    train = {"backbone": "fwfm", "training": TRAINING, "enhancement": {"lambda_fre": 0.3}, "values": {"tau": 5}}
    found = judged(train=train)
    assert found.backbones == ("fwfm",), "the defaults of `evaluate` are for the command alone"
    assert found.training == {"fwfm": TRAINING}
    assert (found.enhancement.lambda_fre, found.values.tau) == (0.3, 5)


def test_other_backbones_are_compared_where_they_are_asked_for() -> None:
    evaluate = {"backbones": ["fm", "deepfm"], "training": {"fm": {"batch_size": 77}, "deepfm": {"batch_size": 99}}}
    found = judged(train={"backbone": "deepfm", "training": TRAINING}, evaluate=evaluate)
    assert found.backbones == ("deepfm", "fm")
    assert found.training == {"fm": {"batch_size": 77}, "deepfm": TRAINING}, (
        "what is served is judged, not another model"
    )


def test_arms_follow_from_what_is_served() -> None:
    values = Arm.parse("values")
    names = [str(arm) for arm in judged().for_served(values).arms]
    assert names == ["plain", "paper", "values", "values permuted", "values random", "values words"]
    assert [str(arm) for arm in judged().for_served(None).arms] == ["plain", "paper", "paper permuted", "paper random"]
    given = judged(evaluate={"arms": ["plain", "fre"]})
    assert [str(arm) for arm in given.for_served(values).arms] == ["plain", "fre"]
    assert [str(arm) for arm in given.with_arm(values).arms] == ["plain", "fre", "values"]
