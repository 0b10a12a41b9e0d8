"""Verification of a batch of rollouts: a reward, a parsed answer and a strategy for each completion."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from components.errors import PolyEpoError
from components.records import FinishReason, Problem
from components.scoring.params import IN_PROCESS_VERIFIERS, ScoringParams
from components.scoring.processes import Outcome, VerifierProcesses
from components.scoring.verifiers import Item, load_verifier

__all__ = ["Verification", "VerifiedBatch"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class VerifiedBatch:
    """Judgements of R rollouts, in the order of the table's rows.

    Attributes:
        rewards_R: (R,) float64 in [0, 1]; 0 for a verification that timed out or failed.
        parsed_answers: final answers, None where a completion states none.
        strategies: strategy names, None where the verifier names none (degenerate, for the strategy clusterer).
        timeouts: completions whose verification was killed at the time limit.
        failures: completions whose verification raised, ran out of memory or died.
    """

    rewards_R: NDArray[np.float64]
    parsed_answers: list[str | None]
    strategies: list[str | None]
    timeouts: int = 0
    failures: int = 0


class Verification:
    """The verifier of params ``scoring``, with its child processes where it needs them; a context manager."""

    def __init__(self, params: ScoringParams) -> None:
        self._processes: VerifierProcesses | None = None
        if params.verifier in IN_PROCESS_VERIFIERS:
            self._verifier = load_verifier(params.verifier)
        else:
            self._processes = VerifierProcesses(params)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the child processes, if any."""
        if self._processes is not None:
            self._processes.close()

    def verify_all(self, rollouts: pa.Table, problems: Sequence[Problem]) -> VerifiedBatch:
        """Judge every row of a ROLLOUT table; equal completions of one problem are judged once.

        Raises:
            PolyEpoError: a rollout of a problem that ``problems`` lacks, a problem that its verifier cannot
                judge, or a verifier that raised on every single completion.
        """
        known = {problem.problem_id: problem for problem in problems}
        finish_reasons = rollouts.column("finish_reason").to_pylist()
        ids = rollouts.column("problem_id").to_pylist()
        rows = list(zip(ids, rollouts.column("completion").to_pylist(), finish_reasons, strict=True))
        counts = Counter(rows)
        items = [
            Item(_lookup(known, problem_id), completion, reason == FinishReason.LENGTH)
            for problem_id, completion, reason in counts
        ]
        outcomes = dict(zip(counts, self._judge(items), strict=True))
        _report_failures(list(outcomes.values()))
        verdicts = [outcomes[row].verdict for row in rows]
        return VerifiedBatch(
            rewards_R=np.array([verdict.reward for verdict in verdicts], dtype=np.float64),
            parsed_answers=[verdict.parsed_answer for verdict in verdicts],
            strategies=[verdict.strategy for verdict in verdicts],
            timeouts=sum(count for row, count in counts.items() if outcomes[row].timed_out),
            failures=sum(count for row, count in counts.items() if outcomes[row].failure is not None),
        )

    def _judge(self, items: Sequence[Item]) -> list[Outcome]:
        if self._processes is not None:
            return self._processes.judge_all(items)
        return [Outcome(self._verifier(item)) for item in items]


def _lookup(known: dict[str, Problem], problem_id: str) -> Problem:
    problem = known.get(problem_id)
    if problem is None:
        raise PolyEpoError(
            "rollout of an unknown problem",
            where="scoring",
            value=problem_id,
            remedy="score rollouts with the problems they were sampled from",
        )
    return problem


def _report_failures(outcomes: Sequence[Outcome]) -> None:
    """Log the first failure. A verifier that fails on everything is broken: its rewards are not worth training on."""
    failures = [outcome.failure for outcome in outcomes if outcome.failure is not None]
    if not failures:
        return
    if len(failures) == len(outcomes) > 1:
        raise PolyEpoError(
            f"the verifier failed on all {len(failures)} completions, first: {failures[0]!r}",
            where="scoring",
            remedy="mend the verifier, or raise scoring.memory_mib if it ran out of memory",
        )
    _log.warning("verifier failed on %d of %d completions, first: %r", len(failures), len(outcomes), failures[0])
