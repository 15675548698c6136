"""`llactr forget`: users leave tables, stores, logs, caches and models; a receipt is kept."""

from __future__ import annotations

from pathlib import Path

from llactr.lifecycle.forgetting.receipts import Receipt
from llactr.lifecycle.forgetting.users import forget_users, read_keys
from llactr.steps import Job

__all__ = ["describe", "run"]


def run(job: Job, dataset: str, *, users: list[str], file: Path | None) -> Receipt:
    """Forgets users, those named and those in a file."""
    keys = read_keys(users, file)
    with job.terminal.step("forget") as advance:
        receipt = forget_users(job.workspace, dataset, keys, advance=advance)
        advance(1, 1, f"{receipt.users} users")
    return receipt


def describe(receipt: Receipt) -> str:
    """The receipt, a line each."""
    lines = [f"{receipt.dataset}: {receipt.users} forgotten, receipt {receipt.number}"]
    lines += [f"{count:>9,}  {place}" for place, count in receipt.removed.items()] or [f"{'':>9}  nothing was found"]
    lines += [f"had seen:  {name}" for name in receipt.had_seen]
    return "\n".join(lines + [f"not touched: {one}" for one in receipt.left])
