"""Trains on rows on disk, in one process or in several: the way past one laptop's memory.

    python -m llactr.jobs.train_rows --rows rows/train --held-out rows/held_out --transform transform --out model
    torchrun --nproc-per-node=4 -m llactr.jobs.train_rows ...

The rows are those of `llactr.ctr.training.stream.write_rows`; the configuration's section `train` is that of
`llactr train`, whose arms with vectors or history need the stores and are refused here. The same command goes on from
its own checkpoints.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from llactr.ctr import CTRModel, EpochRecord, ModelConfig, TrainConfig, TrainResult, train
from llactr.ctr.training.checkpoint import Checkpoints
from llactr.ctr.training.config import TrainJobConfig
from llactr.ctr.training.parallel import Processes
from llactr.ctr.training.stream import StreamedRows, read_rows
from llactr.errors import DataError, InputError, LlactrError
from llactr.lifecycle.config import load_config
from llactr.manifest import write_manifest
from llactr.steps import Step
from llactr.transforms import Transform
from llactr.workspace import Workspace

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; its exit code is 0, 1 (failed) or 2 (bad input)."""
    parser = argparse.ArgumentParser(
        prog="llactr.jobs.train_rows", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument("--rows", type=Path, required=True, help="folder of training rows")
    parser.add_argument("--held-out", type=Path, required=True, help="folder of validation rows, read into memory")
    parser.add_argument("--transform", type=Path, required=True, help="folder of the transform that made the ids")
    parser.add_argument("--out", type=Path, required=True, help="folder for the model")
    parser.add_argument("--config", type=Path, help="YAML with a section 'train'")
    parser.add_argument("--window-rows", type=int, default=500_000, help="how many rows are shuffled together")
    parser.add_argument("--checkpoint-steps", type=int, help="save every so many steps")
    parser.add_argument("--checkpoint-minutes", type=float, help="save every so many minutes (one process only)")
    try:
        with Processes.joined() as processes:
            _run(parser.parse_args(arguments), processes)
    except LlactrError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


def _run(arguments: argparse.Namespace, processes: Processes) -> None:
    config = load_config(arguments.config).train
    _check(config)
    if processes.count > 1 and arguments.checkpoint_minutes is not None:
        raise InputError("several processes save after the same steps: give --checkpoint-steps instead of minutes")
    training = TrainConfig.of(config.backbone, **{**config.training, "seed": config.seed})
    model_config = ModelConfig.model_validate({"backbone": config.backbone, "settings": config.settings})
    model = CTRModel(model_config, Transform.load(arguments.transform).layout, seed=config.seed)
    rows = StreamedRows(arguments.rows, read_rows(arguments.held_out), window_rows=arguments.window_rows)
    for folder, width in ((arguments.rows, rows.width), (arguments.held_out, rows.held_out.ids.shape[1])):
        if width != model.layout.slot_count:
            raise DataError(
                f"the rows in {folder} are {width} numbers wide, the transform makes {model.layout.slot_count} ids of "
                "a row: write them with this transform, and without history numbers behind the ids"
            )
    checkpoints = Checkpoints(
        arguments.out.with_name(f"{arguments.out.name}.checkpoints") / f"process-{processes.rank}",
        every_steps=arguments.checkpoint_steps,
        every_minutes=arguments.checkpoint_minutes,
    )

    def shown(record: EpochRecord) -> None:
        if processes.rank == 0:
            print(f"epoch {record.epoch}: validation AUC {record.validation_auc:.4f}", file=sys.stderr)

    result = train(model, rows, training, progress=shown, checkpoints=checkpoints, processes=processes)
    if processes.rank == 0:
        _save(arguments.out, model, config, training, result)
        print(
            json.dumps({"folder": str(arguments.out), "validation_auc": result.validation.auc, "steps": result.steps})
        )


def _check(config: TrainJobConfig) -> None:
    """Refuses what needs more than ids.

    Raises:
        InputError: the arm, or cold starts.
    """
    if config.arm not in {None, "plain"}:
        raise InputError(
            f"rows on disk hold ids alone, and the arm {config.arm!r} reads vectors or history: train it with 'llactr "
            "train', or leave 'arm' out"
        )
    if config.cold_share:
        raise InputError(
            f"cold_share is {config.cold_share:g}, and cold starts are not drawn among rows on disk: leave it out, or "
            "train with 'llactr train'"
        )


def _save(out: Path, model: CTRModel, config: TrainJobConfig, training: TrainConfig, result: TrainResult) -> None:
    facts: dict[str, Any] = {
        "model": model.config.model_dump(mode="json"),
        "training": training.model_dump(mode="json"),
    }
    with Workspace.at(out.parent).writing(out) as draft:
        save_file(model.state_dict(), draft / "model.safetensors")
        key = f"{config.backbone}-{config.seed}"
        write_manifest(draft, step=Step.TRAIN_ROWS, key=key, config=facts, result=result.summary())


if __name__ == "__main__":
    sys.exit(main())
