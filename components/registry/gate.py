"""The promotion gate: is the challenger better than the incumbent on the same problems? No MLflow here.

A decision is a list of checks (`checks`); all must pass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from components.registry.checks import (
    Bootstrap,
    Check,
    OtherSet,
    better,
    broad,
    enough_problems,
    enough_samples,
    no_regression,
    same_conditions,
    same_problems,
    verified,
)
from components.registry.evidence import Evidence
from components.registry.params import GateMargins

__all__ = ["Bootstrap", "Check", "Decision", "OtherSet", "decide"]


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
    checks = [same_problems(challenger, incumbent), same_conditions(challenger, incumbent)]
    checks += [enough_problems(challenger, gate), enough_samples(challenger, incumbent, gate)]
    checks.append(verified(challenger, incumbent, gate))
    # Numbers of different problems, or of too few, would only mislead: they are not even computed.
    if all(check.passed for check in checks[:4]):
        checks += [better(challenger, incumbent, k, margin, bootstrap) for k, margin in sorted(gate.margins.items())]
        checks.append(broad(challenger, incumbent, gate))
        checks += [check for other in other_sets for check in no_regression(other, bootstrap)]
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
