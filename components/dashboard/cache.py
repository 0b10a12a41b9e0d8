"""What was read from disk, kept until the file is another one.

Published files are replaced by a rename and never edited, so that inode, size and modification time of a manifest
(or of a single file) tell whether its content is known. Reading hundreds of runs again costs one stat each.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any, TypeVar, cast

__all__ = ["Cache", "stamp_of"]

T = TypeVar("T")
Stamp = tuple[int, int, int]


def stamp_of(path: Path) -> Stamp | None:
    """Inode, size and modification time of ``path``; None when it cannot be seen."""
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_ino, found.st_size, found.st_mtime_ns)


class Cache:
    """Least recently used values by key and stamp; safe to use from several threads."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._kept: OrderedDict[Hashable, tuple[Hashable, Any]] = OrderedDict()
        self._mutex = threading.Lock()

    def get(self, key: Hashable, stamp: Hashable, make: Callable[[], T]) -> T:
        """The value kept for ``key`` with this ``stamp``, else what ``make`` returns; its errors are not kept."""
        with self._mutex:
            kept = self._kept.get(key)
            if kept is not None and kept[0] == stamp:
                self._kept.move_to_end(key)
                return cast(T, kept[1])
        value = make()
        with self._mutex:
            self._kept[key] = (stamp, value)
            self._kept.move_to_end(key)
            while len(self._kept) > self._size:
                self._kept.popitem(last=False)
        return value
