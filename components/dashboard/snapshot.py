"""A list that takes long to make: kept, and made again in the background when it is old, so that no page waits."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["Snapshot"]

T = TypeVar("T")


class Snapshot(Generic[T]):
    """What ``make`` returned last.

    Up to ``fresh`` seconds it is good as it is; up to ``stale`` seconds it is given while a thread makes the next one;
    beyond that, and at first, the caller waits.
    """

    def __init__(self, make: Callable[[], T], *, fresh: float = 1.0, stale: float = 30.0) -> None:
        self._make, self._fresh, self._stale = make, fresh, stale
        self._making = threading.Lock()
        self._value: T | None = None
        self._made = float("-inf")

    def get(self) -> T:
        """The value; errors of ``make`` reach only a caller that waits for it."""
        age = time.monotonic() - self._made
        if self._value is None or age > self._stale:
            return self._now()
        if age > self._fresh and self._making.acquire(blocking=False):
            threading.Thread(target=self._behind, name="dashboard-index", daemon=True).start()
        return self._value

    def _now(self) -> T:
        with self._making:
            if self._value is None or time.monotonic() - self._made > self._stale:
                self._keep(self._make())
            return self._value  # type: ignore[return-value]  # just made

    def _behind(self) -> None:
        try:
            self._keep(self._make())
        finally:
            self._making.release()

    def _keep(self, value: T) -> None:
        self._value, self._made = value, time.monotonic()
