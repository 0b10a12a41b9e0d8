"""Finished groups of a sampling that is under way, one file each: what a kill or an outage cannot take.

A store is named by everything that decides its groups, so a run that starts again finds those it had and asks for
the rest. Each file appears whole by a rename. The sampler removes a store once its groups are published elsewhere;
one that nobody came back to goes after a week.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from pathlib import Path

import pyarrow as pa

from components.errors import PolyEpoError
from components.records import ROLLOUT, read_records, write_records

__all__ = ["GroupStore"]

_ABANDONED_SECONDS = 7 * 24 * 3600.0


class GroupStore:
    """The groups of the sampling ``key`` below ``root``.

    Raises:
        PolyEpoError: another process is at this very sampling.
    """

    def __init__(self, root: Path, key: str) -> None:
        self.key = key
        self._directory = root / key
        _remove_abandoned(root)
        self._directory.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(self._directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._lock)
            raise PolyEpoError(
                "another process is sampling the same", where=str(self._directory), remedy="wait for it, or end it"
            ) from error
        os.utime(self._directory)

    def finished(self) -> set[int]:
        """Numbers of the groups that are there."""
        return {int(file.stem) for file in self._directory.glob("[0-9]*.parquet")}

    def add(self, number: int, group: pa.Table) -> None:
        """Keep a finished group (ROLLOUT columns); safe to call from several threads with different numbers."""
        temporary = self._directory / f".{number}.tmp"
        write_records(temporary, group, ROLLOUT)
        descriptor = os.open(temporary, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        temporary.rename(self._file(number))

    def group(self, number: int) -> pa.Table:
        """One finished group.

        Raises:
            PolyEpoError: it is missing or damaged.
        """
        return read_records(self._file(number), ROLLOUT)

    def table(self, groups: int) -> pa.Table:
        """All groups 0, 1, ..., ``groups`` - 1 in this order.

        Raises:
            PolyEpoError: one is missing or damaged.
        """
        tables = [self.group(number) for number in range(groups)]
        return pa.concat_tables(tables).combine_chunks() if tables else ROLLOUT.empty_table()

    def close(self) -> None:
        """Let another process go on with it."""
        os.close(self._lock)

    def remove(self) -> None:
        """Remove the groups, which are published elsewhere; the store must be closed."""
        shutil.rmtree(self._directory, ignore_errors=True)

    def _file(self, number: int) -> Path:
        return self._directory / f"{number:06d}.parquet"


def _remove_abandoned(root: Path) -> None:
    now = time.time()
    for directory in root.glob("*/"):
        if now - directory.stat().st_mtime > _ABANDONED_SECONDS:
            shutil.rmtree(directory, ignore_errors=True)
