"""Run one gate over one table: pass, or stop the pipeline with the expectation, the rows and the remedy."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from components.data.gates.expectations import Gate, expectations
from components.data.gates.frames import problem_frame, require_columns, rollout_frame, scored_frame
from components.data.gates.library import Outcome, validate
from components.errors import PolyEpoError
from components.manifest import fingerprint, publish, write_json
from components.records import PROBLEM, ROLLOUT, SCORED_ROLLOUT

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["GateResult", "gate_problems", "gate_rollouts", "gate_scored", "run_gate"]

logger = logging.getLogger(__name__)

_SCHEMAS = {Gate.PROBLEMS: PROBLEM, Gate.ROLLOUTS: ROLLOUT, Gate.SCORED: SCORED_ROLLOUT}
_FRAMES: dict[Gate, Callable[[pa.Table], pd.DataFrame]] = {
    Gate.PROBLEMS: problem_frame,
    Gate.ROLLOUTS: rollout_frame,
    Gate.SCORED: scored_frame,
}
_ROWS_SHOWN = 5


@dataclass(frozen=True)
class GateResult:
    """A gate that was passed.

    Attributes:
        gate: the kind of table.
        rows: rows of the table.
        expectations: what was checked, in words, in order.
    """

    gate: str
    rows: int
    expectations: list[str]

    def as_dict(self) -> dict[str, Any]:
        """JSON-like and deterministic: no time stamps, no run ids."""
        return {"gate": self.gate, "rows": self.rows, "expectations": self.expectations, "success": True}


def run_gate(
    kind: Gate | str,
    table: pa.Table,
    *,
    group_size: int | None = None,
    zero_sum: bool = True,
    result_dir: Path | None = None,
    docs_dir: Path | None = None,
    where: str = "",
    inputs: str = "",
) -> GateResult:
    """Check ``table`` against the expectations of its kind.

    Args:
        kind: ``"problems"``, ``"rollouts"`` or ``"scored"``.
        table: PROBLEM (all splits together), ROLLOUT or SCORED_ROLLOUT schema.
        group_size: N, completions per problem; needed for rollouts and scored rollouts.
        zero_sum: for scored rollouts, whether the arm's objective makes advantages that sum to zero in each group.
        result_dir: directory to publish result.json in, once the gate is passed.
        docs_dir: directory for this run's Data Docs (HTML); written for a failed gate too.
        where: what is gated, for the error line, e.g. ``"iteration 25"``.
        inputs: digest of what the table came from, for the fingerprint of ``result_dir``.

    Raises:
        PolyEpoError: an expectation fails; the line names it, the first offending rows and the remedy.
    """
    gate = Gate(kind)
    require_columns(table, _SCHEMAS[gate], gate)
    expected = expectations(gate, group_size, zero_sum=zero_sum)
    outcomes = validate(gate, _FRAMES[gate](table), expected, docs_dir)
    failed = [outcome for outcome in outcomes if not outcome.success]
    if failed:
        raise _failure(gate, table, failed, docs_dir, where)
    result = GateResult(str(gate), table.num_rows, [entry.meaning for entry in expected])
    if result_dir is not None:
        digest = fingerprint("gate", result.as_dict(), group_size, inputs)
        with publish(result_dir, fingerprint=digest, facts={"rows": result.rows}) as directory:
            write_json(directory / "result.json", result.as_dict())
    logger.info("gate %s: %d expectations hold for %d rows", gate, len(expected), table.num_rows)
    return result


def gate_problems(table: pa.Table, *, docs_dir: Path | None = None) -> GateResult:
    """The gate on problems: ids, prompts, answers, splits, no leak (PROBLEM schema, all splits together)."""
    return run_gate(Gate.PROBLEMS, table, docs_dir=docs_dir)


def gate_rollouts(table: pa.Table, *, group_size: int, docs_dir: Path | None = None) -> GateResult:
    """The gate on rollouts: exactly N per problem, one finite log-probability per token (ROLLOUT schema)."""
    return run_gate(Gate.ROLLOUTS, table, group_size=group_size, docs_dir=docs_dir)


def gate_scored(table: pa.Table, *, group_size: int, docs_dir: Path | None = None) -> GateResult:
    """The gate on scored rollouts: also rewards, clusters and advantages (SCORED_ROLLOUT schema)."""
    return run_gate(Gate.SCORED, table, group_size=group_size, docs_dir=docs_dir)


def _failure(gate: Gate, table: pa.Table, failed: list[Outcome], docs_dir: Path | None, where: str) -> PolyEpoError:
    """The first failed expectation in full, the others by name."""
    first, *others = failed
    what = f"gate {gate} failed: {first.expected.meaning}"
    if others:
        what += f" (and {len(others)} more: {'; '.join(outcome.expected.meaning for outcome in others)})"
    docs = "" if docs_dir is None else f"; Data Docs: {docs_dir / 'index.html'}"
    return PolyEpoError(what, where=where, value=_shown(table, first), remedy=f"{first.expected.remedy}{docs}")


def _shown(table: pa.Table, outcome: Outcome) -> object:
    """The first offending rows: row number from 0, problem id, and the value the expectation looked at."""
    column = str(outcome.expected.arguments.get("column", "rows"))
    if not outcome.rows:
        return {column: outcome.values[0]}
    ids = table["problem_id"].take(pa.array(outcome.rows[:_ROWS_SHOWN], pa.int64())).to_pylist()
    shown = [
        f"row {row} ({problem_id}): {column}={value}"
        for row, problem_id, value in zip(outcome.rows, ids, outcome.values, strict=False)
    ]
    left = len(outcome.rows) - len(shown)
    return "; ".join(shown) + (f"; and {left} more rows" if left > 0 else "")
