"""`llactr forget`: users leave tables, stores, logs, caches and models; a receipt is kept."""

from __future__ import annotations

from pathlib import Path

from llactr.jobs import advance as day
from llactr.lifecycle.config import RunConfig
from llactr.lifecycle.forgetting.receipts import Receipt, Retrained
from llactr.lifecycle.forgetting.users import forget_users, read_keys
from llactr.lifecycle.gates import Trial
from llactr.steps import Job

__all__ = ["describe", "run"]


def run(job: Job, dataset: str, *, users: list[str], file: Path | None, retrain: RunConfig | None = None) -> Receipt:
    """Forgets users, those named and those in a file; then has a day go by without them, where `retrain` says how.

    Killed while it trains, the same command forgets nobody a second time, and trains.
    """
    keys = read_keys(users, file)
    with job.terminal.step("forget") as advance:
        receipt = forget_users(job.workspace, dataset, keys, advance=advance)
        advance(1, 1, f"{receipt.users} users")
    if retrain is None:
        return receipt
    found = day.run(job, dataset, retrain, data=None, cold=True)  # the champion has learned from them
    gates = Trial.model_validate(found["trial"]).gates
    made = Retrained(
        bundle=found["challenger"], champion=found["champion"], because=tuple(gate.sentence for gate in gates)
    )
    receipt = receipt.model_copy(update={"retrained": made})
    receipt.save(job.workspace)
    return receipt


def describe(receipt: Receipt) -> str:
    """The receipt, a line each."""
    lines = [f"{receipt.dataset}: {receipt.users} forgotten, receipt {receipt.number}"]
    lines += [f"{count:>9,}  {place}" for place, count in receipt.removed.items()] or [f"{'':>9}  nothing was found"]
    lines += [f"had seen:  {name}" for name in receipt.had_seen]
    if receipt.retrained is not None:
        made = receipt.retrained
        after = "which is the champion" if made.is_served else f"{made.champion or 'no bundle'} stays the champion"
        lines += [f"trained without them: {made.bundle}, {after}", *(f"{'':>9}  {gate}" for gate in made.because)]
    return "\n".join(lines + [f"not touched: {one}" for one in receipt.left])
