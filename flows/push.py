"""Every stage's outputs go to DVC's default remote when the stage ends; a remote that is away stops nothing.

What could not be pushed is remembered in .poly-epo, and tried again at the end of this run and of every later one, so
that the remote ends up with everything that dvc.lock names.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from components.errors import PolyEpoError
from components.manifest import write_json
from flows.settings import STATE

__all__ = ["Pushing"]


class _Pushes(Protocol):
    root: Path

    def push(self, name: str) -> int:
        """Push the outputs of the stage ``name``; the number of files sent."""
        ...


class Pushing:
    """Pushes the stages of one project. Safe to use from several threads.

    Args:
        project: does the pushing.
        warn: told in one line what could not be pushed, once.
    """

    def __init__(self, project: _Pushes, warn: Callable[[str], None]) -> None:
        self._project, self._warn = project, warn
        self._file = project.root / STATE / "push" / "pending.json"
        self._mutex = threading.Lock()
        self._pending = self._read()

    def expect(self, name: str) -> None:
        """Note that ``name`` is about to be recorded: killed before its push, the next run pushes it."""
        self._remember({name}, set())

    def push(self, name: str) -> bool:
        """Push one stage now; False when the remote is away, and the stage waits."""
        self.expect(name)
        if not self._attempt(name):
            return False
        self._remember(set(), {name})
        return True

    def finish(self) -> None:
        """Try again what waits; tell what still does."""
        for name in sorted(self._pending):
            if not self.push(name):
                break  # the remote is away: the others would only wait for the same time-out
        if self._pending:
            names = ", ".join(sorted(self._pending))
            self._warn(f"not in DVC's remote yet: {names}; the next run tries again, as `dvc push` does")

    def _attempt(self, name: str) -> bool:
        try:
            self._project.push(name)
        except PolyEpoError as error:
            self._warn(f"push of {name} waits: {error.line()}")
            return False
        return True

    def _remember(self, more: set[str], fewer: set[str]) -> None:
        with self._mutex:
            pending = (self._pending | more) - fewer
            if pending != self._pending:
                self._pending = pending
                self._file.parent.mkdir(parents=True, exist_ok=True)
                write_json(self._file, sorted(pending))

    def _read(self) -> set[str]:
        try:
            return {str(name) for name in json.loads(self._file.read_text(encoding="utf-8"))}
        except (FileNotFoundError, ValueError):
            return set()  # nothing waits; a file damaged by hand costs one `dvc push`
