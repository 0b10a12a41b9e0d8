"""May these evaluations stand side by side? What differs is refused, or flagged; what failed is told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from components.errors import PolyEpoError
from components.evaluation.results import Evaluation

__all__ = ["comparability_notes", "result_notes"]

# What another value of would move the numbers by itself, whatever the models are.
_CONDITIONS = (
    "dataset",
    "samples",
    "distinct_samples",
    "temperature",
    "top_p",
    "max_new_tokens",
    "verifier",
    "clusterer",
    "correct_reward",
)
_DIGESTS = ("dataset", "prompts")
_TRUNCATED_SHARE = 0.01


def comparability_notes(evaluations: Sequence[Evaluation], *, allow_differences: bool) -> list[str]:
    """A line for every condition under which an evaluation differs from the first one.

    Raises:
        PolyEpoError: no evaluation, two of one name, other problems or prompts; or, unless ``allow_differences``,
            any other difference.
    """
    names = [evaluation.name for evaluation in evaluations]
    if not names or len(set(names)) < len(names):
        raise PolyEpoError("needs evaluations of different names", where="comparison", value=names)
    notes = []
    for evaluation in evaluations[1:]:
        _refuse_other_problems(evaluations[0], evaluation)
        differing = _differing(evaluations[0].metrics, evaluation.metrics)
        if differing and not allow_differences:
            raise PolyEpoError(
                f"not comparable with {names[0]!r}: {'; '.join(differing)}",
                where=f"evaluation {evaluation.name}",
                remedy="evaluate both on the same problems with the same params, or allow the difference to be flagged",
            )
        if differing:
            notes.append(f"{evaluation.name} is not like for like with {names[0]}: {'; '.join(differing)}")
    return notes


def result_notes(evaluation: Evaluation) -> list[str]:
    """What a reader of an evaluation's numbers must know: verifications that failed, completions that were cut off."""
    metrics = evaluation.metrics
    total = int(metrics["problems"]) * int(metrics["samples"])
    notes = []
    for key, what in (("verifier_failures", "failed"), ("verifier_timeouts", "were killed at the time limit")):
        if metrics.get(key):
            notes.append(
                f"{evaluation.name}: {metrics[key]} of {total} verifications {what} and count as wrong; "
                "the true figures may be higher"
            )
    truncated = int(metrics.get("truncated") or 0)
    if truncated >= max(_TRUNCATED_SHARE * total, 1):
        notes.append(
            f"{evaluation.name}: {truncated} of {total} completions were cut off at "
            f"{metrics.get('max_new_tokens') or 'the longest allowed number of'} tokens"
        )
    return notes


def _refuse_other_problems(first: Evaluation, other: Evaluation) -> None:
    mine, theirs = set(first.problem_ids), set(other.problem_ids)
    if mine != theirs:
        example = sorted(mine ^ theirs)[:3]
        raise PolyEpoError(
            f"not comparable with {first.name!r}: problems differ, {len(mine - theirs)} are missing and "
            f"{len(theirs - mine)} are not in {first.name!r}",
            where=f"evaluation {other.name}",
            value=example,
            remedy="evaluate both on the same problem file",
        )
    prompts = first.metrics.get("prompts"), other.metrics.get("prompts")
    if None not in prompts and prompts[0] != prompts[1]:
        raise PolyEpoError(
            f"not comparable with {first.name!r}: the same problem ids were asked with other prompts",
            where=f"evaluation {other.name}",
            remedy="evaluate both on the same problem file",
        )


def _differing(first: dict[str, Any], other: dict[str, Any]) -> list[str]:
    differing = []
    for key in _CONDITIONS:
        mine, theirs = first.get(key), other.get(key)
        if mine != theirs:
            shown = [str(value)[:12] if key in _DIGESTS else str(value) for value in (mine, theirs)]
            differing.append(f"{key} differ ({shown[0]} and {shown[1]})")
    return differing
