"""What a job shows while it runs: one line a step with its time, on stderr; results go to stdout."""

from __future__ import annotations

import codecs
import io
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn

from llactr.errors import LlactrError
from llactr.steps import Advance

__all__ = ["Terminal", "speak_plainly"]

_PLAIN = {"−": "-", "–": "-", "—": "-", "…": "...", "✓": "*", "\u202f": " ", "\xa0": " ", "×": "x"}


def speak_plainly() -> None:
    """Has streams that cannot hold every character (latin-1, ASCII) write what comes nearest instead of failing."""
    codecs.register_error("llactr.plain", _nearest)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and not stream.encoding.lower().startswith("utf"):
            stream.reconfigure(errors="llactr.plain")


def _nearest(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(_PLAIN.get(char, "?") for char in error.object[error.start : error.end]), error.end


class Terminal:
    """Progress and messages on stderr, one result on stdout.

    Args:
        as_json: print the result as one JSON object instead of text.
    """

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json
        speak_plainly()
        self._err = Console(stderr=True, highlight=False)
        self._out = Console(highlight=False)

    def note(self, text: str) -> None:
        """A line on stderr."""
        self._err.print(text, markup=False, soft_wrap=True)

    @contextmanager
    def step(self, name: str) -> Iterator[Advance]:
        """Shows a step's progress and, when it ends, its time. Without a terminal: one line at the end."""
        started = time.perf_counter()
        last_note = ""
        with Progress(
            SpinnerColumn(finished_text="[green]✓"),
            TextColumn("{task.fields[step]:<12}"),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}", style="dim", markup=False),
            console=self._err,
            transient=True,
            disable=not self._err.is_terminal,
        ) as progress:
            task = progress.add_task(name, total=None, step=name, note="")

            def advance(done: int, total: int, note: str) -> None:
                nonlocal last_note
                last_note = note or last_note
                progress.update(task, completed=done, total=total or None, note=note)

            yield advance
        seconds = time.perf_counter() - started
        self._err.print(f"[green]✓[/] {name:<12} {seconds:7.1f} s  ", end="")
        self._err.print(last_note, markup=False, style="dim", soft_wrap=True)

    def failure(self, error: LlactrError) -> None:
        """An error: a sentence on stderr, and with `--json` an object on stdout."""
        if self.as_json:
            self._json({"error": str(error), "kind": type(error).__name__})
        self.note(f"llactr: {error}")

    def _json(self, content: dict[str, Any]) -> None:
        encoding = getattr(sys.stdout, "encoding", None) or "ascii"
        print(json.dumps(content, ensure_ascii=not encoding.lower().startswith("utf"), default=str))

    def result(self, content: dict[str, Any], text: str | None = None) -> None:
        """Prints the result: one JSON object on stdout with `--json`, else `text` (or the object, readable)."""
        if self.as_json:
            self._json(content)
        elif text is not None:
            self._out.print(text, markup=False, soft_wrap=True)
        else:
            for key, value in content.items():
                if not isinstance(value, dict | list):
                    self._out.print(f"{key:<24} {value}", markup=False, soft_wrap=True)
