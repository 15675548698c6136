"""Run by torchrun in tests: trains on made-up clicks with the other processes, and writes what came out."""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import save_file

from llactr.ctr import EpochRecord, TrainConfig, train
from llactr.ctr.training.checkpoint import Checkpoints
from llactr.ctr.training.parallel import Processes
from tests.ctr.training_fakes import clicks, model


def main(out: Path, settings: dict[str, object]) -> None:
    torch.set_num_threads(1)
    backbone = str(settings.pop("backbone"))
    kept, history = settings.pop("checkpoints", None), bool(settings.pop("history", False))
    killed_after = settings.pop("killed_after", None)

    def progress(record: EpochRecord) -> None:
        if record.epoch == killed_after:
            os.kill(os.getpid(), signal.SIGKILL)

    with Processes.joined() as processes:
        made = model(backbone, enhanced=True, dropout=False, history=history)
        checkpoints = None if kept is None else Checkpoints(Path(str(kept)) / f"{processes.rank}", every_steps=4)
        config = TrainConfig.model_validate({"batch_size": 256, "learning_rate": 0.01, "device": "cpu"} | settings)
        rows = clicks(history=history)
        result = train(made, rows, config, progress=progress, processes=processes, checkpoints=checkpoints)
        save_file(made.state_dict(), out / f"model-{processes.rank}.safetensors")
        (out / f"history-{processes.rank}.json").write_text(json.dumps([asdict(r) for r in result.history]))
    threads = [name.read_text().strip() for name in Path("/proc/self/task").glob("*/comm")]
    (out / f"threads-{processes.rank}.json").write_text(json.dumps(threads))


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]))
