"""A row of the user's own data -> a candidate, or one line that says what is wrong with which cell."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from components.data.source import Candidate
from components.data.split import normalise_prompt
from components.domains import DOMAINS, get_domain
from components.errors import PolyEpoError
from components.records import Problem, Split

__all__ = ["COLUMNS", "candidates_from_rows", "check_columns"]

REQUIRED = ("prompt", "answer")
OPTIONAL = ("problem_id", "domain", "split", "metadata")
COLUMNS = (*REQUIRED, *OPTIONAL)


def check_columns(names: Iterable[str], where: str) -> None:
    """Refuse a row or a header with a missing, an unknown or a repeated column."""
    listed = list(names)
    faults = {
        "missing": next((name for name in REQUIRED if name not in listed), None),
        "unknown": next((name for name in listed if name not in COLUMNS), None),
        "repeated": next((name for name, count in Counter(listed).items() if count > 1), None),
    }
    for fault, name in faults.items():
        if name is not None:
            raise PolyEpoError(
                f"{fault} column {name!r}",
                where=where,
                remedy=f"columns: {', '.join(REQUIRED)}, and where wanted {', '.join(OPTIONAL)}; "
                "put anything else into metadata as a JSON object",
            )


def candidates_from_rows(rows: Iterable[tuple[str, Mapping[str, Any]]], *, domain: str) -> list[Candidate]:
    """Check every ``(where, row)``; a row without an id gets one made from its prompt, stable under reordering.

    Raises:
        PolyEpoError: a cell is empty or of the wrong type; the line names row and column.
    """
    seen: Counter[str] = Counter()
    candidates = []
    for where, row in rows:
        candidate = _candidate(where, row, domain)
        if not candidate.problem_id:
            made = hashlib.sha256(normalise_prompt(candidate.prompt).encode()).hexdigest()[:16]
            seen[made] += 1
            # A repeated prompt is a duplicate to drop, not a clash of ids.
            name = made if seen[made] == 1 else f"{made}-{seen[made]}"
            candidate = replace(candidate, problem_id=name)
        candidates.append(candidate)
    return candidates


def _candidate(where: str, row: Mapping[str, Any], domain: str) -> Candidate:
    candidate = Candidate(
        problem_id=_text(row, "problem_id", where, default=""),
        prompt=_text(row, "prompt", where),
        answer=_text(row, "answer", where),
        domain=_text(row, "domain", where, default=domain),
        metadata=_metadata(row, where),
        split=_split(row, where),
        origin=where,
    )
    if candidate.domain in DOMAINS:
        # A problem its own checker cannot read is refused here, not in the middle of a run.
        get_domain(candidate.domain).verify(_as_problem(candidate), "")
    return candidate


def _text(row: Mapping[str, Any], column: str, where: str, *, default: str | None = None) -> str:
    cell = row.get(column)
    if default is not None and (cell is None or cell == ""):
        return default
    if type(cell) is int and column in ("problem_id", "answer"):
        return str(cell)
    if not isinstance(cell, str) or not cell.strip():
        kind = "is empty" if cell is None or isinstance(cell, str) else "is not text"
        raise PolyEpoError(
            f"column {column!r} {kind}", where=where, value=cell, remedy=f"write the {column} as non-empty text"
        )
    return cell


def _split(row: Mapping[str, Any], where: str) -> str | None:
    split = _text(row, "split", where, default="")
    if split and split not in set(Split):
        raise PolyEpoError(
            "column 'split' names no split", where=where, value=split, remedy=f"one of {', '.join(Split)}, or empty"
        )
    return split or None


def _metadata(row: Mapping[str, Any], where: str) -> str:
    cell = row.get("metadata")
    if cell is None or cell == "":
        return "{}"
    try:
        document = json.loads(cell) if isinstance(cell, str) else cell
        text = json.dumps(document, sort_keys=True, allow_nan=False)
    except (ValueError, TypeError) as error:
        raise PolyEpoError(
            f"column 'metadata' is not JSON: {error}", where=where, value=cell, remedy='write an object, e.g. {"k": 1}'
        ) from error
    if not isinstance(document, dict):
        raise PolyEpoError(
            "column 'metadata' is not a JSON object", where=where, value=cell, remedy='write an object, e.g. {"k": 1}'
        )
    return text


def _as_problem(candidate: Candidate) -> Problem:
    return Problem(
        candidate.problem_id or candidate.origin,
        candidate.prompt,
        candidate.answer,
        candidate.domain,
        candidate.split or "",
        candidate.metadata,
    )
