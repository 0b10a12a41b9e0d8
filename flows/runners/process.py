"""Child processes of a run: streamed line by line, ended with it whatever happens."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from components import process_guard

__all__ = ["Interrupted", "ends_children", "stream", "terminate_children"]

_children: set[subprocess.Popen[str]] = set()
_children_lock = threading.Lock()
_stopping = threading.Event()


class Interrupted(Exception):  # noqa: N818
    """The run was asked to stop; not a fault of the stage that was at work."""


def stream(
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    on_line: Callable[[str], None],
    log: Path,
    hold_stdin: bool = False,
) -> int:
    """Run ``argv`` to its end, both outputs merged: each line goes to ``on_line`` and into the file ``log``.

    Args:
        hold_stdin: its standard input is a pipe into which nothing is written and that ends with this process; else
            there is none.

    Returns:
        The exit code; 128 + number when a signal ended the command.

    Raises:
        Interrupted: the run is stopping; the command and everything it started are gone.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    child = _start(argv, cwd, env, subprocess.PIPE if hold_stdin else subprocess.DEVNULL)
    try:
        with log.open("a", encoding="utf-8") as file:
            for line in child.stdout or ():
                file.write(line)
                file.flush()
                on_line(line.rstrip("\n"))
        code = child.wait()
    finally:
        if child.poll() is None:
            child.terminate()
            child.wait()
        if child.stdin is not None:
            child.stdin.close()
        with _children_lock:
            _children.discard(child)
    if _stopping.is_set():
        raise Interrupted
    return code


def _start(argv: Sequence[str], cwd: Path, env: Mapping[str, str], stdin: int) -> subprocess.Popen[str]:
    with _children_lock:
        if _stopping.is_set():
            raise Interrupted
        child = subprocess.Popen(
            [sys.executable, "-I", "-S", process_guard.__file__, str(os.getpid()), *argv],
            cwd=cwd,
            env={**env, "PYTHONUNBUFFERED": "1"},
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            bufsize=1,
            # Its own session: Ctrl-C reaches only the run itself, which ends its children in good order.
            start_new_session=True,
        )
        _children.add(child)
        return child


def terminate_children() -> None:
    """End every child of this run; no new one can start."""
    _stopping.set()
    with _children_lock:
        for child in _children:
            child.terminate()


@contextmanager
def ends_children() -> Iterator[None]:
    """While the block runs, SIGINT and SIGTERM first end the children, then do what they did before.

    Outside of the main thread, where Python cannot set handlers, this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _stopping.clear()
    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def handler(number: int, frame: FrameType | None) -> None:
        terminate_children()
        before: Any = previous[signal.Signals(number)]
        if callable(before):
            before(number, frame)
        elif before != signal.SIG_IGN:
            raise SystemExit(128 + number)

    for number in previous:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number, before in previous.items():
            signal.signal(number, before)
