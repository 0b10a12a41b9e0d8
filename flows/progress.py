"""What a person sees while the flow runs: plain lines anywhere, a live table on a terminal."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol, TextIO

if TYPE_CHECKING:
    from rich.console import Group

__all__ = ["FLOW_RUN_ID", "JsonReporter", "PlainReporter", "Reporter", "RichReporter", "current_reporter", "reporting"]


FLOW_RUN_ID = "POLY_EPO_FLOW_RUN_ID"
"""Environment variable of a run and of its stages: the id of the Prefect flow run, for logs."""


class Reporter(Protocol):
    """Receives the progress of stages, from several threads."""

    def note(self, text: str) -> None:
        """Something to know that is no stage's."""

    def planned(self, stages: Sequence[str]) -> None:
        """The stages there are, in order."""

    def started(self, stage: str) -> None:
        """The stage's command starts."""

    def line(self, stage: str, text: str) -> None:
        """The stage's command wrote one line. It may hold hostile text."""

    def ended(self, stage: str, outcome: str) -> None:
        """The stage is over: how it ended, in a few words."""


class PlainReporter:
    """One line per event, with the seconds since the start."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out if out is not None else sys.stdout
        self._start = time.monotonic()

    def note(self, text: str) -> None:
        """See :class:`Reporter`."""
        self._write(text)

    def planned(self, stages: Sequence[str]) -> None:
        """See :class:`Reporter`."""
        self._write(f"{len(stages)} stages: {', '.join(stages)}")

    def started(self, stage: str) -> None:
        """See :class:`Reporter`."""
        self._write(f"{stage}: started")

    def line(self, stage: str, text: str) -> None:
        """See :class:`Reporter`."""
        if text.strip():
            self._write(f"{stage} | {_printable(text)}")

    def ended(self, stage: str, outcome: str) -> None:
        """See :class:`Reporter`."""
        self._write(f"{stage}: {outcome}")

    def _write(self, text: str) -> None:
        self._out.write(f"[{time.monotonic() - self._start:6.1f}s] {text}\n")
        self._out.flush()


class JsonReporter:
    """One JSON object per line, for a collector of logs: time (UTC), flow run, event, stage, text."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out if out is not None else sys.stdout
        self._lock = threading.Lock()

    def note(self, text: str) -> None:
        """See :class:`Reporter`."""
        self._write("note", "", text)

    def planned(self, stages: Sequence[str]) -> None:
        """See :class:`Reporter`."""
        self._write("planned", "", ", ".join(stages))

    def started(self, stage: str) -> None:
        """See :class:`Reporter`."""
        self._write("started", stage, "")

    def line(self, stage: str, text: str) -> None:
        """See :class:`Reporter`."""
        if text.strip():
            self._write("line", stage, text.rstrip())

    def ended(self, stage: str, outcome: str) -> None:
        """See :class:`Reporter`."""
        self._write("ended", stage, outcome)

    def _write(self, event: str, stage: str, text: str) -> None:
        facts = {"flow_run_id": os.environ.get(FLOW_RUN_ID, ""), "event": event, "stage": stage, "text": text}
        # ASCII: whatever a model wrote, a line stays one line.
        line = json.dumps({"time": datetime.now(UTC).isoformat(timespec="milliseconds"), **facts}, ensure_ascii=True)
        with self._lock:
            self._out.write(f"{line}\n")
            self._out.flush()


@dataclass
class _Row:
    outcome: str = "waiting"
    began: float | None = None
    ended: float | None = None
    last: str = ""


class RichReporter:
    """A table with one row per stage, redrawn twice a second; all output is in .poly-epo/logs as well."""

    def __init__(self) -> None:
        self._rows: dict[str, _Row] = {}
        self._notes: list[str] = []
        self._lock = threading.Lock()

    def note(self, text: str) -> None:
        """See :class:`Reporter`."""
        with self._lock:
            self._notes.append(text)

    def planned(self, stages: Sequence[str]) -> None:
        """See :class:`Reporter`."""
        with self._lock:
            self._rows = {stage: _Row() for stage in stages}

    def started(self, stage: str) -> None:
        """See :class:`Reporter`."""
        with self._lock:
            row = self._rows.setdefault(stage, _Row())
            row.outcome, row.began, row.ended = "running", time.monotonic(), None

    def line(self, stage: str, text: str) -> None:
        """See :class:`Reporter`."""
        if text.strip():
            with self._lock:
                self._rows.setdefault(stage, _Row()).last = _printable(text)

    def ended(self, stage: str, outcome: str) -> None:
        """See :class:`Reporter`."""
        with self._lock:
            row = self._rows.setdefault(stage, _Row())
            row.outcome, row.ended, row.last = outcome, time.monotonic(), ""

    def __rich__(self) -> Group:
        from rich.console import Group  # noqa: PLC0415
        from rich.table import Table  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415

        table = Table(box=None, expand=True, padding=(0, 1))
        for title, ratio in (("stage", 2), ("", 3), ("seconds", 1), ("", 8)):
            table.add_column(title, ratio=ratio, no_wrap=True, overflow="ellipsis")
        with self._lock:
            for stage, row in self._rows.items():
                seconds = "" if row.began is None else f"{(row.ended or time.monotonic()) - row.began:.0f}"
                colour = {"waiting": "dim", "running": "cyan"}.get(
                    row.outcome, "red" if row.outcome.startswith("failed") else "green"
                )
                table.add_row(Text(stage), Text(row.outcome, style=colour), seconds, Text(row.last, style="dim"))
            notes = [Text(note, style="dim") for note in self._notes]
        return Group(table, *notes)


def _printable(text: str) -> str:
    """The text after its last carriage return, control characters of hostile output made visible."""
    last = text.rstrip().rpartition("\r")[2]
    return "".join(char if char.isprintable() or char == "\t" else repr(char)[1:-1] for char in last)


_current: Reporter | None = None


def current_reporter() -> Reporter:
    """The reporter of this process: the one `reporting` set, else lines on standard output."""
    return _current if _current is not None else _line_reporter()


def _line_reporter() -> Reporter:
    return JsonReporter() if os.environ.get("POLY_EPO_LOG_FORMAT") == "json" else PlainReporter()


@contextmanager
def reporting() -> Iterator[Reporter]:
    """Set this process's reporter while the block runs: a live table when standard output is a terminal.

    Elsewhere one line per event; a JSON object when POLY_EPO_LOG_FORMAT is ``json``.
    """
    global _current  # noqa: PLW0603
    previous = _current
    try:
        if not sys.stdout.isatty() or os.environ.get("POLY_EPO_LOG_FORMAT") == "json":
            _current = _line_reporter()
            yield _current
            return
        from rich.live import Live  # noqa: PLC0415

        table = RichReporter()
        _current = table
        with Live(get_renderable=table.__rich__, refresh_per_second=2, redirect_stderr=False):
            yield table
    finally:
        _current = previous
