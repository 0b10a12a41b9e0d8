"""Lock files: two processes never work in the same workspace."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from components.errors import PolyEpoError

__all__ = ["exclusive"]


@contextmanager
def exclusive(path: Path, what: str, *, wait_seconds: float = 10.0) -> Iterator[None]:
    """Hold the lock file ``path`` while the block runs. The kernel frees it when the holder dies.

    Args:
        path: the lock file; made when missing, never removed.
        what: what it guards, for the error.
        wait_seconds: how long to wait for another holder (one that is being killed needs a moment to go).

    Raises:
        PolyEpoError: another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + wait_seconds
    with path.open("a+", encoding="utf-8") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    file.seek(0)
                    holder = file.read().strip() or "?"
                    raise PolyEpoError(
                        f"another process ({holder}) is at work on {what}",
                        where=str(path),
                        remedy="wait for it to end, or end it",
                    ) from error
                time.sleep(0.1)
        file.truncate(0)
        file.write(f"pid {os.getpid()}")
        file.flush()
        yield
