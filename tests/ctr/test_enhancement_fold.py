from __future__ import annotations

import numpy as np
import torch

from llactr.ctr import TrainConfig, predict
from llactr.ctr.training.batches import Batch
from llactr.ctr.training.parallel import Processes
from llactr.ctr.training.step import TrainingStep
from tests.ctr.training_fakes import clicks, model


def test_validation_after_fused_adam_sees_the_new_pair_weights() -> None:
    """Fused Adam does not count parameter versions, so folded pair weights of the last validation were used again."""
    data = clicks(800)
    made = model("fm", enhanced=True)
    predict(made, data.ids)  # folds
    step = TrainingStep(made, TrainConfig(learning_rate=0.5, device="cpu"), Processes())
    made.train()
    for _ in range(3):
        step(Batch(torch.from_numpy(data.ids), torch.from_numpy(data.label), torch.from_numpy(data.version)))
    scores = predict(made, data.ids)
    fresh = model("fm", enhanced=True)
    fresh.load_state_dict(made.state_dict())
    assert np.array_equal(scores, predict(fresh, data.ids))
