"""Run one command as the first process of a container, so that it never outlives the run that asked for it.

    python inside.py COMMAND [ARGUMENT ...] < a pipe that the run holds open

Used as a script by flows/runners/docker.py, which mounts it into the container. Nobody writes into the pipe: it ends
when the run ends, kill -9 included, or when the docker client or the engine does; then the command and everything it
started are killed with this process, for a container dies with its first process.

Standard library alone, and no import of this project: it must start in milliseconds in any image.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import FrameType

__all__ = ["OUT_OF_MEMORY"]

OUT_OF_MEMORY = "container: the kernel ended a process at the memory limit"
"""The last line of a container one of whose processes needed more memory than its limit, when the command failed."""

_GRACE_SECONDS = 3.0  # less than what the docker client's own guard waits
_CGROUP = Path("/sys/fs/cgroup")
_COUNTERS = (_CGROUP / "memory.events", _CGROUP / "memory" / "memory.oom_control")  # versions 2 and 1


def main() -> int:
    """Run the command to its end; its exit code, or 128 + signal number when a signal ended it."""
    signal.signal(signal.SIGTERM, _raise_stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT, start_new_session=True)
    threading.Thread(target=_end_with_pipe, daemon=True).start()
    try:
        code = _reap_until(child.pid)
    except _StopRequest:
        code = _end(child)
    if code and _memory_kills():
        sys.stdout.write(f"{OUT_OF_MEMORY}\n")
        sys.stdout.flush()
    return code


class _StopRequest(BaseException):
    """SIGTERM came: the run is stopping."""


def _raise_stop(_number: int, _frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise _StopRequest


def _end_with_pipe() -> None:
    while os.read(0, 4096):
        pass
    os._exit(128 + signal.SIGKILL)  # the first process: the kernel kills every other one of the container


def _reap_until(pid: int) -> int:
    """Wait for ``pid`` to end, and for orphans meanwhile: the first process of a container inherits them."""
    while True:
        ended, status = os.waitpid(-1, 0)
        if ended == pid:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def _end(child: subprocess.Popen[bytes]) -> int:
    """Ask the command to end; whatever is left of it is killed when this process returns."""
    child.terminate()
    try:
        child.wait(_GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        return 128 + signal.SIGKILL
    return 128 + signal.SIGTERM


def _memory_kills() -> int:
    """How many processes of this container the kernel killed at its memory limit."""
    for counters in _COUNTERS:
        if counters.is_file():
            fields = dict(line.split() for line in counters.read_text(encoding="utf-8").splitlines())
            return int(fields.get("oom_kill", 0))
    return 0


if __name__ == "__main__":
    sys.exit(main())
