"""The promotion gate: is the challenger better than the incumbent on the same problems? No MLflow here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from components.evaluation import paired_bootstrap, pass_at_k
from components.registry.evidence import Evidence
from components.registry.params import GateMargins

__all__ = ["Bootstrap", "Decision", "PassAtK", "decide"]


@dataclass(frozen=True)
class Bootstrap:
    """How intervals are drawn: resamples of the problems, coverage, seed."""

    draws: int
    confidence: float
    seed: int


@dataclass(frozen=True)
class PassAtK:
    """pass@k of both policies, the paired difference (challenger - incumbent) with its interval, and the margin."""

    challenger: float
    incumbent: float
    difference: float
    low: float
    high: float
    margin: float
    passed: bool


@dataclass(frozen=True)
class Decision:
    """A verdict with its grounds; holds nothing that differs between two runs of the same content.

    Attributes:
        verdict: ``promoted``, ``refused`` or ``unchanged`` (the candidate is the champion already).
        reasons: one sentence per ground, in a fixed order.
        policy: digest of the challenger's policy directory.
        incumbent: digest of the policy it was compared with.
        incumbent_is: ``champion`` or ``base`` (no champion existed).
        problems: P, evaluation problems.
        confidence: coverage of the intervals.
        pass_at_k: k (as text, JSON's keys) -> comparison; empty when the two cannot be compared.
        distinct_correct: mean per problem of challenger and incumbent, and the floor.
    """

    verdict: str
    reasons: list[str]
    policy: str
    incumbent: str
    incumbent_is: str
    problems: int
    confidence: float
    pass_at_k: dict[str, PassAtK] = field(default_factory=dict)
    distinct_correct: dict[str, float] = field(default_factory=dict)

    @property
    def promoted(self) -> bool:
        """Whether the gate was passed."""
        return self.verdict == "promoted"

    def as_dict(self) -> dict[str, Any]:
        """JSON-like values."""
        return asdict(self)

    @staticmethod
    def from_dict(document: Mapping[str, Any]) -> Decision:
        """The decision that `as_dict` gave."""
        comparisons = {k: PassAtK(**values) for k, values in document["pass_at_k"].items()}
        return Decision(**{**document, "pass_at_k": comparisons})


def decide(
    challenger: Evidence, incumbent: Evidence, incumbent_is: str, *, gate: GateMargins, bootstrap: Bootstrap
) -> Decision:
    """Compare on the same problems: every k of ``gate.margins`` and the floor on distinct correct clusters.

    Raises:
        PolyEpoError: a k of the margins exceeds the samples per problem of either evaluation.
    """
    grounds = _incomparable(challenger, incumbent, gate)
    if grounds:
        return _decision("refused", grounds, challenger, incumbent, incumbent_is, bootstrap)
    comparisons = {
        k: _compare(challenger, incumbent, k, margin, bootstrap) for k, margin in sorted(gate.margins.items())
    }
    reasons = [_pass_reason(k, comparison, bootstrap.confidence) for k, comparison in comparisons.items()]
    distinct, floor = challenger.mean_distinct(), gate.distinct_floor * incumbent.mean_distinct()
    enough = distinct >= floor
    reasons.append(f"distinct correct clusters {distinct:.2f}, {'not ' if enough else ''}below the floor {floor:.2f}")
    passed = enough and all(comparison.passed for comparison in comparisons.values())
    return _decision(
        "promoted" if passed else "refused",
        reasons,
        challenger,
        incumbent,
        incumbent_is,
        bootstrap,
        pass_at_k={str(k): comparison for k, comparison in comparisons.items()},
        distinct_correct={
            "challenger": _rounded(distinct),
            "incumbent": _rounded(incumbent.mean_distinct()),
            "floor": _rounded(floor),
        },
    )


def _incomparable(challenger: Evidence, incumbent: Evidence, gate: GateMargins) -> list[str]:
    """Why the two cannot be compared at all; empty when they can."""
    grounds = []
    if challenger.dataset != incumbent.dataset or set(challenger.problems) != set(incumbent.problems):
        shared = len(set(challenger.problems) & set(incumbent.problems))
        grounds.append(
            f"the two were evaluated on different problems ({len(challenger.problems)} and "
            f"{len(incumbent.problems)}, {shared} ids in common): compare them on one test split, or promote by hand"
        )
    if len(challenger.problems) < gate.min_problems:
        grounds.append(f"{len(challenger.problems)} problems are fewer than min_problems = {gate.min_problems}")
    if challenger.distinct_samples != incumbent.distinct_samples:
        grounds.append(
            f"distinct correct clusters were counted among {challenger.distinct_samples} and "
            f"{incumbent.distinct_samples} completions"
        )
    return grounds


def _compare(challenger: Evidence, incumbent: Evidence, k: int, margin: float, bootstrap: Bootstrap) -> PassAtK:
    order = sorted(challenger.problems)
    values_P = pass_at_k(*challenger.counts(order), k)
    baseline_P = pass_at_k(*incumbent.counts(order), k)
    difference = paired_bootstrap(baseline_P, values_P, **asdict(bootstrap))
    return PassAtK(
        challenger=_rounded(values_P.mean()),
        incumbent=_rounded(baseline_P.mean()),
        difference=_rounded(difference.value),
        low=_rounded(difference.low),
        high=_rounded(difference.high),
        margin=margin,
        passed=difference.low > margin,
    )


def _pass_reason(k: int, comparison: PassAtK, confidence: float) -> str:
    relation = "above" if comparison.passed else "not above"
    return (
        f"pass@{k} {comparison.challenger:.3f} against {comparison.incumbent:.3f}: lower end {comparison.low:+.3f} of "
        f"the {confidence:.0%} interval of the difference is {relation} the margin {comparison.margin:+.3f}"
    )


def _decision(
    verdict: str,
    reasons: list[str],
    challenger: Evidence,
    incumbent: Evidence,
    incumbent_is: str,
    bootstrap: Bootstrap,
    **numbers: Any,
) -> Decision:
    return Decision(
        verdict=verdict,
        reasons=reasons,
        policy=challenger.policy,
        incumbent=incumbent.policy,
        incumbent_is=incumbent_is,
        problems=len(challenger.problems),
        confidence=bootstrap.confidence,
        **numbers,
    )


def _rounded(value: float) -> float:
    return round(float(value), 10)
