"""One command of the project as a child of a flow: its output in the flow's log, its fault as one line."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from prefect import get_run_logger

from flows.runners.base import StageFailed, error_line
from flows.runners.process import stream
from flows.settings import STATE

__all__ = ["run_command_line"]


def run_command_line(argv: Sequence[str], root: Path, name: str) -> str:
    """Run ``argv`` in ``root``, and give back what it printed.

    Raises:
        StageFailed: it ended with an error; the text is the command's own.
    """
    logger, lines = get_run_logger(), list[str]()

    def on_line(line: str) -> None:
        lines.append(line)
        logger.info("%s", line)

    log = root / STATE / "logs" / f"{name.replace(' ', '-')}.log"
    code = stream(argv, cwd=root, env=dict(os.environ), on_line=on_line, log=log)
    if code:
        raise StageFailed(error_line(lines), where=name, remedy=f"log: {os.path.relpath(log)}")
    return "\n".join(lines)
