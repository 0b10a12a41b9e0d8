"""Tracking beside the run: a thread that replays what is published into MLflow, best effort.

MLflow being down never stops training and loses nothing: the workspace holds every metric, and the next call sends
what is missing. One long-lived thread imports MLflow once; the arms compute in processes of their own.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from components.errors import PolyEpoError
from flows.settings import STATE

if TYPE_CHECKING:
    from components.params import Params

__all__ = ["TrackingSync", "sync_once"]

_LOG = logging.getLogger(__name__)
_FINAL_LIMIT_SECONDS = 60.0


def sync_once(params: Params, root: Path, tags: Mapping[str, str]) -> str:
    """Send what is new in the project's workspace to MLflow; returns where to look."""
    # Importing MLflow takes seconds: only here, in the thread.
    from components.tracking.sync import sync  # noqa: PLC0415

    report = sync(
        params, workspace=root / "workspace", reports=root / "reports", state=root / STATE / "tracking", tags=tags
    )
    return report.address


class TrackingSync:
    """Calls ``send`` every ``interval`` seconds from the first `wake` on, and once more at the end."""

    def __init__(self, send: Callable[[], str], warn: Callable[[str], None], interval: float = 15.0) -> None:
        self.address = ""
        self._send, self._warn, self._interval = send, warn, interval
        self._failing = False
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    def wake(self) -> None:
        """Start sending, if that has not been done: a stage has run, so there may be something to send."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._loop, name="tracking-sync", daemon=True)
            self._thread.start()

    def finish(self) -> None:
        """One last send, within a limit, and the end of the thread; nothing if it was never woken."""
        self._ending.set()
        if self._thread is not None:
            self._thread.join(_FINAL_LIMIT_SECONDS)
            if self._thread.is_alive():
                self._warn("tracking is still being sent; `python -m components.tracking sync` sends the rest later")

    def _loop(self) -> None:
        while not self._ending.wait(self._interval):
            self._attempt()
        self._attempt()

    def _attempt(self) -> None:
        try:
            self.address = self._send()
        except PolyEpoError as error:
            if not self._failing:  # say it once, not every time
                self._warn(f"tracking waits: {error.line()}")
            self._failing = True
        except Exception as error:  # noqa: BLE001 - see below
            # Best effort is the rule here: no fault of the tracker may end a training run. It is told once, in full in
            # the log, and every later call replays from the workspace.
            if not self._failing:
                _LOG.warning("tracking failed", exc_info=True)
                self._warn(f"tracking waits: {type(error).__name__}: {error}")
            self._failing = True
        else:
            self._failing = False
