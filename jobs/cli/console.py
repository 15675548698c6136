"""What a job shows while it runs: one line a step with its time, on stderr; results go to stdout."""

from __future__ import annotations

import codecs
import io
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn

from llactr.errors import LlactrError
from llactr.steps import Advance

__all__ = ["Terminal", "speak_plainly"]

_EVERY_S = 30.0
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


class _Lines:
    """How far a step is, in lines of text: one every 30 s at most, the first after 30 s."""

    def __init__(self, name: str, write: Callable[[str], None], clock: Callable[[], float]) -> None:
        self._name, self._write, self._clock = name, write, clock
        self._began = self._said = clock()
        self._state, self._active, self._lock = "", False, threading.Lock()

    @contextmanager
    def told(self, *, active: bool) -> Iterator[None]:
        """Says how far the step is while the block runs, also where the step itself says nothing for long."""
        if not active:
            yield
            return
        self._active, ended = True, threading.Event()

        def tick() -> None:
            while not ended.wait(_EVERY_S):
                self._tell()

        ticking = threading.Thread(target=tick, name="progress", daemon=True)
        ticking.start()
        try:
            yield
        finally:
            self._active = False
            ended.set()
            ticking.join()

    def advance(self, done: int, total: int, note: str) -> None:
        """The step's progress; total 0 means unknown."""
        self._state = "  ".join(part for part in (f"{done} of {total}" * bool(total), note) if part)
        if self._active and (done < total or not total):  # one that is done has its last line
            self._tell()

    def _tell(self) -> None:
        with self._lock:
            now = self._clock()
            if now - self._said < _EVERY_S:
                return
            self._said = now
            self._write(f"  {self._name:<12} {now - self._began:7.0f} s  {self._state}".rstrip())


class Terminal:
    """Progress and messages on stderr, one result on stdout.

    Args:
        as_json: print the result as one JSON object instead of text.
        clock: seconds since some moment; what progress without a terminal goes by.
    """

    def __init__(self, *, as_json: bool = False, clock: Callable[[], float] = time.monotonic) -> None:
        self.as_json = as_json
        self._clock = clock
        speak_plainly()
        # Notebooks set FORCE_COLOR: what is no terminal would be told of every step of a bar.
        self._err = Console(stderr=True, highlight=False, force_terminal=None if sys.stderr.isatty() else False)
        self._out = Console(highlight=False)

    def note(self, text: str) -> None:
        """A line on stderr."""
        self._err.print(text, markup=False, soft_wrap=True)

    @contextmanager
    def step(self, name: str) -> Iterator[Advance]:
        """Shows a step's progress and, when it ends, its time.

        Without a terminal (a pipe, a log) a line says how far it is, every 30 s at most, and one line ends it.
        """
        started = time.perf_counter()
        last_note = ""
        lines = _Lines(name, self.note, self._clock)
        with (
            lines.told(active=not self._err.is_terminal),
            Progress(
                SpinnerColumn(finished_text="[green]✓"),
                TextColumn("{task.fields[step]:<12}"),
                BarColumn(bar_width=24),
                TaskProgressColumn(),
                TimeElapsedColumn(),
                TextColumn("{task.fields[note]}", style="dim", markup=False),
                console=self._err,
                transient=True,
                disable=not self._err.is_terminal,
            ) as progress,
        ):
            task = progress.add_task(name, total=None, step=name, note="")

            def advance(done: int, total: int, note: str) -> None:
                nonlocal last_note
                last_note = note or last_note
                progress.update(task, completed=done, total=total or None, note=note)
                lines.advance(done, total, note)

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
