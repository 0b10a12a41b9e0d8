"""What each gate expects, as plain data: Great Expectations is imported only when a gate runs.

Every entry is one expectation of the library on one column of the frames of ``frames``, with the remedy a user
is told when it fails.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from components.records import DEGENERATE, FinishReason, Split

__all__ = ["Expected", "Gate", "expectations"]

_SUM_TOLERANCE = 1e-6


class Gate(StrEnum):
    """The kinds of table that are gated."""

    PROBLEMS = "problems"
    ROLLOUTS = "rollouts"
    SCORED = "scored"


@dataclass(frozen=True)
class Expected:
    """One expectation.

    Attributes:
        kind: class name in ``great_expectations.expectations``.
        meaning: what it says, in words.
        remedy: what to do when it fails.
        arguments: keyword arguments of the class.
    """

    kind: str
    meaning: str
    remedy: str
    arguments: dict[str, Any] = field(default_factory=dict)


def expectations(gate: Gate, group_size: int | None, *, zero_sum: bool = True) -> list[Expected]:
    """The expectations of ``gate``; ``group_size`` (N) is needed for rollouts and scored rollouts.

    ``zero_sum``: whether the objective's advantages are to sum to zero in each group.
    """
    if gate is Gate.PROBLEMS:
        return _problems()
    if group_size is None:
        raise ValueError(f"gate {gate} needs group_size")
    return _rollouts(group_size) if gate is Gate.ROLLOUTS else [*_rollouts(group_size), *_scored(zero_sum)]


def _between(column: str, low: float | None, high: float | None, meaning: str, remedy: str) -> Expected:
    arguments = {"column": column, "min_value": low, "max_value": high}
    return Expected("ExpectColumnValuesToBeBetween", meaning, remedy, arguments)


def _exactly(column: str, value: float, meaning: str, remedy: str) -> Expected:
    return _between(column, value, value, meaning, remedy)


def _within(column: str, values: list[str], meaning: str, remedy: str) -> Expected:
    return Expected("ExpectColumnValuesToBeInSet", meaning, remedy, {"column": column, "value_set": values})


def _present(column: str, meaning: str, remedy: str) -> Expected:
    return Expected("ExpectColumnValuesToNotBeNull", meaning, remedy, {"column": column})


def _rows(remedy: str) -> Expected:
    return Expected("ExpectTableRowCountToBeBetween", "the table has rows", remedy, {"min_value": 1})


def _problems() -> list[Expected]:
    source = "mend the source of the problems and run the data stage again"
    leak = "remove the problem from one of the splits: what is evaluated must not be trained on"
    names = [str(split) for split in Split]
    return [
        _rows(source),
        _between("problem_id_characters", 1, None, "every problem has an id", source),
        _exactly("problem_id_repeats", 1, "problem ids are unique", "give every problem its own id"),
        _between("prompt_characters", 1, None, "no prompt is empty", source),
        _exactly("prompt_splits", 1, "no problem is in two splits", leak),
        _exactly("overlapping_train_row", -1, "no held-out problem is a training problem hardly changed", leak),
        _exactly("prompt_repeats", 1, "no prompt is repeated", "remove the repeated problems"),
        _exactly("answer_or_scorer", 1, "every problem has an answer, or a domain that needs none", source),
        _between("domain_characters", 1, None, "every problem names its domain", source),
        _exactly("metadata_is_object", 1, "metadata is a JSON object", source),
        _present("split", "every problem names its split", source),
        _within("split", names, f"split is one of {', '.join(names)}", source),
        Expected(
            "ExpectColumnDistinctValuesToContainSet",
            "all three splits have problems",
            "raise data.validation, data.test or the size of the source",
            {"column": "split", "value_set": names},
        ),
    ]


def _rollouts(group_size: int) -> list[Expected]:
    again = "remove this iteration's rollouts and sample again; if it comes back, the rollout engine is at fault"
    reasons = [str(reason) for reason in FinishReason]
    return [
        _rows(again),
        _exactly("group_rows", group_size, f"every problem has exactly {group_size} completions", again),
        _between("sample_index", 0, group_size - 1, "sample_index is within the group", again),
        _exactly("sample_repeats", 1, "sample_index is unique within the group", again),
        _between("prompt_tokens", 1, None, "no prompt is without tokens", again),
        _between("completion_tokens", 1, None, "no completion is without tokens", again),
        _exactly("logprobs_missing", 0, "one log-probability for each completion token", again),
        _exactly("logprobs_not_allowed", 0, "log-probabilities are finite and at most 0", again),
        _present("finish_reason", "every completion has a finish reason", again),
        _within("finish_reason", reasons, f"finish_reason is one of {', '.join(reasons)}", again),
        _between("policy_version", 0, None, "policy_version counts from 0", again),
        Expected(
            "ExpectColumnUniqueValueCountToBeBetween",
            "one policy version sampled the whole table",
            again,
            {"column": "policy_version", "min_value": 1, "max_value": 1},
        ),
    ]


def _scored(zero_sum: bool) -> list[Expected]:
    verifier = "mend the verifier (scoring.verifier): a reward must be a number within [0, 1]"
    clusterer = "mend the clusterer (scoring.clusterer)"
    objective = "mend the arm's objective: its advantages are to be finite and to sum to zero over each group"
    summed = _between(
        "group_advantage_sum", -_SUM_TOLERANCE, _SUM_TOLERANCE, "advantages sum to zero in each group", objective
    )
    return [
        _present("reward", "every completion has a reward", verifier),
        _between("reward", 0.0, 1.0, "rewards are within [0, 1]", verifier),
        _exactly("full_reward_without_answer", 0, "no full reward without a parsed answer", verifier),
        _present("cluster_id", "every completion has a cluster id", clusterer),
        _between("cluster_id", DEGENERATE, None, f"cluster ids are at least {DEGENERATE}", clusterer),
        _exactly("degenerate_with_strategy", 0, "degenerate completions name no strategy", clusterer),
        _exactly("set_objective_is_finite", 1, "set objectives are finite", objective),
        _exactly("advantage_is_finite", 1, "advantages are finite", objective),
        *([summed] if zero_sum else []),
    ]
