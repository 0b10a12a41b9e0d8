"""Run one command so that it never outlives the process that asked for it.

    python process_guard.py PARENT_PID COMMAND [ARGUMENT ...]

Used as a script by whoever starts a process of its own: a stage, a server. Two links hold: when the parent dies
(kill -9 included) the kernel signals this process, which kills the command's whole process group; when this process
dies, the kernel kills the command. So no training goes on writing into a workspace that a new run is about to use.

Standard library alone, and no import of this project: it must start in milliseconds.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from types import FrameType

_PR_SET_PDEATHSIG = 1
_GRACE_SECONDS = 5.0


def die_with_parent(number: int, parent: int) -> None:
    """Ask the kernel (Linux) for signal ``number`` when the parent dies; exit at once if it is gone already."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def main() -> int:
    """Run the command in this process's group; its exit code, or 128 + signal number when a signal ended it."""
    if os.getpgrp() != os.getpid():
        os.setsid()  # the group that _end kills must hold this process and the command alone
    parent, command = int(sys.argv[1]), sys.argv[2:]
    me = os.getpid()
    # First of all: from here on a dying parent ends this process by the default action of SIGTERM.
    die_with_parent(signal.SIGTERM, parent)
    child = subprocess.Popen(command, preexec_fn=lambda: die_with_parent(signal.SIGKILL, me))  # noqa: PLW1509

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _raise_stop)
    try:
        code = child.wait()
    except _StopRequest:
        code = _end(child, parent)
    return code if code >= 0 else 128 - code


class _StopRequest(BaseException):
    """SIGTERM came: from the parent that stops, or from the kernel because the parent is dead."""


def _raise_stop(_number: int, _frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise _StopRequest


def _end(child: subprocess.Popen[bytes], parent: int) -> int:
    """End the command's process group: politely when the parent lives, at once when it does not."""
    if os.getppid() == parent:
        os.killpg(os.getpid(), signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(_GRACE_SECONDS)
    os.killpg(os.getpid(), signal.SIGKILL)  # this process is in the group: nothing after this line runs
    return 128 + signal.SIGKILL


if __name__ == "__main__":
    sys.exit(main())
