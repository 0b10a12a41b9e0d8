"""The runner of one machine: every command is a child process."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from flows.runners.process import stream

__all__ = ["LocalRunner"]


class LocalRunner:
    """Runs commands as child processes that end with this one (components/process_guard.py)."""

    name = "local"

    def run(
        self,
        argv: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        on_line: Callable[[str], None],
        log: Path,
    ) -> int:
        """See :class:`flows.runners.base.Runner`."""
        return stream(argv, cwd=cwd, env=env, on_line=on_line, log=log)
