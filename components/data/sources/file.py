"""Problems from the user's own file: JSONL, Parquet or CSV, told apart by the file's suffix."""

from __future__ import annotations

import csv
import hashlib
import json
import random
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from components.data.params import FileSource
from components.data.rows import candidates_from_rows, check_columns
from components.data.source import Candidate
from components.errors import PolyEpoError
from components.records import Problem

__all__ = ["FileProblems"]

Rows = Iterator[tuple[str, Mapping[str, Any]]]


class FileProblems:
    """The rows of one file, checked cell by cell."""

    def __init__(self, params: FileSource) -> None:
        self._path = Path(params.path)
        self._domain = params.domain
        self._pinned = params.sha256

    def identity(self) -> dict[str, Any]:
        """The file's digest: a changed file makes the data stage stale.

        Raises:
            PolyEpoError: there is no such file, or it is another than the one pinned.
        """
        if not self._path.is_file():
            raise PolyEpoError("data file not found", where=str(self._path), remedy="mend data.source.path")
        with self._path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        if self._pinned not in (None, digest):
            raise PolyEpoError(
                "data file is not the one that is pinned",
                where=str(self._path),
                value=digest[:12],
                remedy=f"`poly-epo data update` pins it in place of {str(self._pinned)[:12]}",
            )
        return {"input_sha256": digest}

    def candidates(self, seed: int) -> list[Candidate]:
        """Every row in the file's order.

        Raises:
            PolyEpoError: the file is missing, empty or of an unknown kind, or a row is malformed.
        """
        self.identity()
        read = _READERS.get(self._path.suffix.lower())
        if read is None:
            raise PolyEpoError(
                "unknown kind of data file", where=str(self._path), remedy=f"name it with {', '.join(_READERS)}"
            )
        candidates = candidates_from_rows(read(self._path), domain=self._domain)
        if not candidates:
            raise PolyEpoError(
                "data file holds no problems", where=str(self._path), remedy="give it one row for each problem"
            )
        return candidates

    def demonstrations(self, problem: Problem, *, count: int, wrong: int, rng: random.Random) -> list[str]:
        """None: the user's file holds problems alone."""
        return []


def _lines(path: Path) -> Iterator[str]:
    """The file's text line by line; a byte that is not UTF-8 is reported with its line."""
    with path.open("rb") as stream:
        for number, raw in enumerate(stream, start=1):
            try:
                yield raw.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise PolyEpoError(
                    f"not UTF-8 at column {error.start + 1}",
                    where=f"{path} line {number}",
                    value=raw[error.start : error.start + 8],
                    remedy="save the file as UTF-8",
                ) from error


def _jsonl(path: Path) -> Rows:
    for number, line in enumerate(_lines(path), start=1):
        if not line.strip():
            continue
        where = f"{path} line {number}"
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            column = f" at column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
            message = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
            raise PolyEpoError(
                f"not JSON{column}: {message}", where=where, remedy="write one JSON object on each line"
            ) from error
        if not isinstance(row, dict):
            raise PolyEpoError("not a JSON object", where=where, value=row, remedy="write one JSON object on each line")
        check_columns(row, where)
        yield where, row


def _csv(path: Path) -> Rows:
    reader = csv.reader(_lines(path), strict=True)
    header: list[str] | None = None
    try:
        for cells in reader:
            where = f"{path} line {reader.line_num}"
            if not cells:
                continue
            if header is None:
                header = cells
                check_columns(header, where)
                continue
            if len(cells) != len(header):
                column = header[min(len(cells), len(header) - 1)]
                raise PolyEpoError(
                    f"{len(cells)} cells where the header has {len(header)}, from column {column!r} on",
                    where=where,
                    remedy='put a cell that holds a comma, a quote or a line break in "quotes"',
                )
            yield where, dict(zip(header, cells, strict=True))
    except csv.Error as error:
        raise PolyEpoError(
            f"not CSV: {error}", where=f"{path} line {reader.line_num}", remedy="mend the quotes of this line"
        ) from error


def _parquet(path: Path) -> Rows:
    try:
        table = pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise PolyEpoError(
            f"not a readable Parquet file: {error}", where=str(path), remedy="write the file again"
        ) from error
    check_columns(table.column_names, str(path))
    row_number = 0
    for batch in table.to_batches(max_chunksize=4096):
        for row in batch.to_pylist():
            row_number += 1
            yield f"{path} row {row_number}", row


_READERS: dict[str, Callable[[Path], Rows]] = {".jsonl": _jsonl, ".ndjson": _jsonl, ".csv": _csv, ".parquet": _parquet}
