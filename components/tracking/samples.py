"""A few rollouts of an iteration as a table artifact. Completions are hostile text: escaped before they are shown."""

from __future__ import annotations

import html
import json
from pathlib import Path

from components.records import SCORED_ROLLOUT, read_records

__all__ = ["escaped", "sample_table"]

_COLUMNS = ["problem_id", "sample_index", "completion", "parsed_answer", "reward", "cluster_id", "strategy"]
_LONGEST = 2000  # characters of a completion that are shown


def sample_table(scored: Path, *, problems: int = 4, samples: int = 8) -> str:
    """JSON table (``columns`` and ``data``, the form MLflow shows as a table) of the first rows of ``scored``.

    Args:
        scored: a Parquet file with the SCORED_ROLLOUT schema.
        problems: how many problems are shown.
        samples: how many completions of each.

    Raises:
        PolyEpoError: the file is missing or has other columns.
    """
    rows = read_records(scored, SCORED_ROLLOUT, columns=_COLUMNS).to_pylist()
    shown = list(dict.fromkeys(row["problem_id"] for row in rows))[:problems]
    kept = [row for row in rows if row["problem_id"] in shown and row["sample_index"] < samples]
    data = [[_cell(row[column]) for column in _COLUMNS] for row in kept]
    return json.dumps({"columns": _COLUMNS, "data": data}, ensure_ascii=True)


def escaped(text: str) -> str:
    """``text`` cut to a readable length, markup escaped, control characters shown as ``\\xNN``."""
    visible = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text[:_LONGEST])
    return html.escape(visible + ("..." if len(text) > _LONGEST else ""))


def _cell(value: object) -> object:
    return escaped(value) if isinstance(value, str) else value
