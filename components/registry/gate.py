"""The promotion gate: is the challenger better than the incumbent on the same problems? No MLflow here.

A decision is a list of checks, each with its numbers and one sentence in plain words; all must pass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from components.evaluation import paired_bootstrap, pass_at_k
from components.evaluation.intervals import Method
from components.registry.evidence import Evidence
from components.registry.params import GateMargins

__all__ = ["Bootstrap", "Check", "Decision", "OtherSet", "decide"]


@dataclass(frozen=True)
class Bootstrap:
    """How intervals are drawn: resamples of the problems, coverage, seed, and the method (docs/statistics.md)."""

    draws: int
    confidence: float
    seed: int
    method: Method = "bayesian"


@dataclass(frozen=True)
class OtherSet:
    """Both policies on a further evaluation set, which the challenger must not get worse on.

    Attributes:
        name: the set.
        ceilings: k -> how much pass@k may fall.
        challenger, incumbent: None where that evaluation is missing.
        missing: what is missing and the command that makes it.
    """

    name: str
    ceilings: Mapping[int, float]
    challenger: Evidence | None = None
    incumbent: Evidence | None = None
    missing: str = ""


@dataclass(frozen=True)
class Check:
    """One check of the gate.

    Attributes:
        name: what is checked, e.g. ``pass@8`` or ``pass@8 on NAME``.
        passed: whether it holds.
        reason: why, in one sentence.
        challenger, incumbent: the two values, where there are any.
        difference, low, high: paired difference challenger - incumbent with its interval.
        limit: what the number is held against.
    """

    name: str
    passed: bool
    reason: str
    challenger: float | None = None
    incumbent: float | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    limit: float | None = None


@dataclass(frozen=True)
class Decision:
    """A verdict with its grounds; holds nothing that differs between two runs of the same content.

    Attributes:
        verdict: ``promoted``, ``refused`` or ``unchanged`` (the candidate is the champion already).
        why: the verdict's ground in one sentence.
        policy: digest of the challenger's policy directory.
        incumbent: digest of the policy it was compared with.
        incumbent_is: ``champion`` or ``base`` (no champion existed).
        problems: P, evaluation problems; samples: completions of each.
        confidence: coverage of the intervals.
        checks: in a fixed order.
    """

    verdict: str
    why: str
    policy: str
    incumbent: str
    incumbent_is: str
    problems: int
    samples: int
    confidence: float
    checks: list[Check]

    @property
    def promoted(self) -> bool:
        """Whether the gate was passed."""
        return self.verdict == "promoted"

    @property
    def failed(self) -> list[Check]:
        """The checks that did not pass."""
        return [check for check in self.checks if not check.passed]

    def check(self, name: str) -> Check:
        """The check called ``name``; KeyError when it was not made."""
        return {check.name: check for check in self.checks}[name]

    def as_dict(self) -> dict[str, Any]:
        """JSON-like values."""
        return asdict(self)

    @staticmethod
    def from_dict(document: Mapping[str, Any]) -> Decision:
        """The decision that `as_dict` gave."""
        return Decision(**{**document, "checks": [Check(**check) for check in document["checks"]]})


def decide(
    challenger: Evidence,
    incumbent: Evidence,
    incumbent_is: str,
    *,
    gate: GateMargins,
    bootstrap: Bootstrap,
    other_sets: Sequence[OtherSet] = (),
) -> Decision:
    """Compare on the same problems: every k of ``gate.margins``, breadth, and the ceilings on other sets.

    Raises:
        PolyEpoError: a k of the margins exceeds the samples per problem of either evaluation.
    """
    checks = [_same_problems(challenger, incumbent), _same_conditions(challenger, incumbent)]
    checks += [_enough_problems(challenger, gate), _enough_samples(challenger, incumbent, gate)]
    checks.append(_verified(challenger, incumbent, gate))
    # Numbers of different problems, or of too few, would only mislead: they are not even computed.
    if all(check.passed for check in checks[:4]):
        checks += [_better(challenger, incumbent, k, margin, bootstrap) for k, margin in sorted(gate.margins.items())]
        checks.append(_broad(challenger, incumbent, gate))
        checks += [check for other in other_sets for check in _no_regression(other, bootstrap)]
    failed = [check.name for check in checks if not check.passed]
    why = f"{len(failed)} of {len(checks)} checks failed: {', '.join(failed)}" if failed else ""
    return Decision(
        verdict="refused" if failed else "promoted",
        why=why or f"all {len(checks)} checks passed",
        policy=challenger.policy,
        incumbent=incumbent.policy,
        incumbent_is=incumbent_is,
        problems=len(challenger.problems),
        samples=challenger.samples,
        confidence=bootstrap.confidence,
        checks=checks,
    )


def _same_problems(challenger: Evidence, incumbent: Evidence, where: str = "") -> Check:
    ours, theirs = set(challenger.problems), set(incumbent.problems)
    same = challenger.dataset == incumbent.dataset and ours == theirs
    reason = (
        f"both were evaluated on the same {len(ours)} problems"
        if same
        else f"the two were evaluated on different problems ({len(ours)} and {len(theirs)}, "
        f"{len(ours & theirs)} ids in common): compare them on one set, or promote by hand"
    )
    return Check(f"same problems{where}", same, reason)


def _same_conditions(challenger: Evidence, incumbent: Evidence, where: str = "") -> Check:
    # What an older evaluation does not state cannot be compared.
    ours = challenger.conditions | {"distinct_samples": challenger.distinct_samples}
    theirs = incumbent.conditions | {"distinct_samples": incumbent.distinct_samples}
    differs = [
        f"{name} {_short(ours[name])} and {_short(theirs[name])}"
        for name in sorted(set(ours) & set(theirs))
        if ours[name] != theirs[name]
    ]
    reason = f"sampled or judged differently: {', '.join(differs)}" if differs else "sampled and judged alike"
    return Check(f"same conditions{where}", not differs, reason)


def _enough_problems(challenger: Evidence, gate: GateMargins) -> Check:
    count = len(challenger.problems)
    enough = count >= gate.min_problems
    reason = f"{count} problems are {'at least' if enough else 'fewer than'} min_problems = {gate.min_problems}"
    return Check("problems", enough, reason, challenger=count, limit=gate.min_problems)


def _enough_samples(challenger: Evidence, incumbent: Evidence, gate: GateMargins) -> Check:
    enough = min(challenger.samples, incumbent.samples) >= gate.min_samples
    reason = (
        f"{challenger.samples} and {incumbent.samples} samples per problem are "
        f"{'at least' if enough else 'not both at least'} min_samples = {gate.min_samples}"
    )
    return Check("samples", enough, reason, challenger.samples, incumbent.samples, limit=gate.min_samples)


def _verified(challenger: Evidence, incumbent: Evidence, gate: GateMargins) -> Check:
    ours, theirs = challenger.unverified_share(), incumbent.unverified_share()
    passed = max(ours, theirs) <= gate.max_unverified
    reason = (
        f"the verifier failed or timed out on {challenger.unverified} ({ours:.2%}) and {incumbent.unverified} "
        f"({theirs:.2%}) completions, {'not above' if passed else 'above'} max_unverified = {gate.max_unverified:.2%}"
    )
    return Check("unverified", passed, reason, _rounded(ours), _rounded(theirs), limit=gate.max_unverified)


def _better(challenger: Evidence, incumbent: Evidence, k: int, margin: float, bootstrap: Bootstrap) -> Check:
    numbers = _paired(challenger, incumbent, k, bootstrap)
    passed = numbers["low"] > margin
    reason = (
        f"pass@{k} {numbers['challenger']:.3f} against {numbers['incumbent']:.3f}: the lower end "
        f"{_signed(numbers['low'])} of the {bootstrap.confidence:.0%} interval of the difference is {'above' if passed else 'not above'} the "
        f"margin {_signed(margin)}"
    )
    return Check(f"pass@{k}", passed, reason, limit=margin, **numbers)


def _broad(challenger: Evidence, incumbent: Evidence, gate: GateMargins) -> Check:
    distinct, baseline = challenger.mean_distinct(), incumbent.mean_distinct()
    floor = gate.distinct_floor * baseline
    enough = distinct >= floor
    reason = (
        f"{distinct:.2f} distinct correct clusters among {challenger.distinct_samples} completions against "
        f"{baseline:.2f}, {'not ' if enough else ''}below the floor {floor:.2f}"
    )
    return Check("distinct correct", enough, reason, _rounded(distinct), _rounded(baseline), limit=_rounded(floor))


def _no_regression(other: OtherSet, bootstrap: Bootstrap) -> list[Check]:
    """The checks on one other set; a missing evaluation fails, with the command that makes it."""
    where = f" on {other.name}"
    if other.challenger is None or other.incumbent is None:
        return [Check(f"evaluated{where}", False, other.missing)]
    comparable = [
        _same_problems(other.challenger, other.incumbent, where),
        _same_conditions(other.challenger, other.incumbent, where),
    ]
    if not all(check.passed for check in comparable):
        return comparable
    checks = []
    for k, ceiling in sorted(other.ceilings.items()):
        numbers = _paired(other.challenger, other.incumbent, k, bootstrap)
        passed = numbers["low"] >= -ceiling
        reason = (
            f"pass@{k}{where} {numbers['challenger']:.3f} against {numbers['incumbent']:.3f}: a loss of up to "
            f"{max(-numbers['low'], 0.0):.3f} is {'within' if passed else 'above'} the ceiling {ceiling:.3f}"
        )
        checks.append(Check(f"pass@{k}{where}", passed, reason, limit=-ceiling, **numbers))
    return comparable + checks


def _paired(challenger: Evidence, incumbent: Evidence, k: int, bootstrap: Bootstrap) -> dict[str, float]:
    order = sorted(challenger.problems)
    values_P = pass_at_k(*challenger.counts(order), k)
    baseline_P = pass_at_k(*incumbent.counts(order), k)
    difference = paired_bootstrap(baseline_P, values_P, **asdict(bootstrap))
    return {
        "challenger": _rounded(values_P.mean()),
        "incumbent": _rounded(baseline_P.mean()),
        "difference": _rounded(difference.value),
        "low": _rounded(difference.low),
        "high": _rounded(difference.high),
    }


def _signed(value: float) -> str:
    return f"{round(value, 3) + 0.0:+.3f}"  # adding 0.0 turns the -0.0 that rounding leaves into 0.0


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 20 else text[:12]


def _rounded(value: float) -> float:
    # Differences below 1e-10 are rounding errors; adding 0.0 turns -0.0 into 0.0.
    return round(float(value), 10) + 0.0
