"""The single checks of the promotion gate, each with its numbers and one sentence in plain words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from components.evaluation import paired_bootstrap, pass_at_k
from components.evaluation.intervals import Method
from components.registry.evidence import Evidence
from components.registry.params import GateMargins

__all__ = [
    "Bootstrap",
    "Check",
    "OtherSet",
    "better",
    "broad",
    "enough_problems",
    "enough_samples",
    "no_regression",
    "same_conditions",
    "same_problems",
    "verified",
]


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


def same_problems(challenger: Evidence, incumbent: Evidence, where: str = "") -> Check:
    """Whether both were evaluated on the same problems."""
    ours, theirs = set(challenger.problems), set(incumbent.problems)
    same = challenger.dataset == incumbent.dataset and ours == theirs
    reason = (
        f"both were evaluated on the same {len(ours)} problems"
        if same
        else f"the two were evaluated on different problems ({len(ours)} and {len(theirs)}, "
        f"{len(ours & theirs)} ids in common): compare them on one set, or promote by hand"
    )
    return Check(f"same problems{where}", same, reason)


def same_conditions(challenger: Evidence, incumbent: Evidence, where: str = "") -> Check:
    """Whether both were sampled and judged alike, as far as both evaluations say how."""
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


def enough_problems(challenger: Evidence, gate: GateMargins) -> Check:
    """At least ``min_problems``."""
    count = len(challenger.problems)
    enough = count >= gate.min_problems
    reason = f"{count} problems are {'at least' if enough else 'fewer than'} min_problems = {gate.min_problems}"
    return Check("problems", enough, reason, challenger=count, limit=gate.min_problems)


def enough_samples(challenger: Evidence, incumbent: Evidence, gate: GateMargins) -> Check:
    """At least ``min_samples`` of each problem, on both sides."""
    enough = min(challenger.samples, incumbent.samples) >= gate.min_samples
    reason = (
        f"{challenger.samples} and {incumbent.samples} samples per problem are "
        f"{'at least' if enough else 'not both at least'} min_samples = {gate.min_samples}"
    )
    return Check("samples", enough, reason, challenger.samples, incumbent.samples, limit=gate.min_samples)


def verified(challenger: Evidence, incumbent: Evidence, gate: GateMargins) -> Check:
    """The verifier failed or timed out on few enough completions of both."""
    ours, theirs = challenger.unverified_share(), incumbent.unverified_share()
    passed = max(ours, theirs) <= gate.max_unverified
    reason = (
        f"the verifier failed or timed out on {challenger.unverified} ({ours:.2%}) and {incumbent.unverified} "
        f"({theirs:.2%}) completions, {'not above' if passed else 'above'} max_unverified = {gate.max_unverified:.2%}"
    )
    return Check("unverified", passed, reason, _rounded(ours), _rounded(theirs), limit=gate.max_unverified)


def better(challenger: Evidence, incumbent: Evidence, k: int, margin: float, bootstrap: Bootstrap) -> Check:
    """The lower end of the paired interval of the difference of pass@k exceeds the margin."""
    numbers = _paired(challenger, incumbent, k, bootstrap)
    passed = numbers["low"] > margin
    side = "above" if passed else "not above"
    reason = (
        f"pass@{k} {numbers['challenger']:.3f} against {numbers['incumbent']:.3f}: the lower end "
        f"{_signed(numbers['low'])} of the {bootstrap.confidence:.0%} interval of the difference is {side} the "
        f"margin {_signed(margin)}"
    )
    return Check(f"pass@{k}", passed, reason, limit=margin, **numbers)


def broad(challenger: Evidence, incumbent: Evidence, gate: GateMargins) -> Check:
    """Distinct correct clusters are at least the floor's share of the incumbent's."""
    distinct, baseline = challenger.mean_distinct(), incumbent.mean_distinct()
    floor = gate.distinct_floor * baseline
    enough = distinct >= floor
    reason = (
        f"{distinct:.2f} distinct correct clusters among {challenger.distinct_samples} completions against "
        f"{baseline:.2f}, {'not ' if enough else ''}below the floor {floor:.2f}"
    )
    return Check("distinct correct", enough, reason, _rounded(distinct), _rounded(baseline), limit=_rounded(floor))


def no_regression(other: OtherSet, bootstrap: Bootstrap) -> list[Check]:
    """The checks on one other set; a missing evaluation fails, with the command that makes it."""
    where = f" on {other.name}"
    if other.challenger is None or other.incumbent is None:
        return [Check(f"evaluated{where}", False, other.missing)]
    comparable = [
        same_problems(other.challenger, other.incumbent, where),
        same_conditions(other.challenger, other.incumbent, where),
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
