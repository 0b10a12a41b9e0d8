"""The verifier ``domain``: the exact checker of the problem's own domain."""

from __future__ import annotations

from components.domains import Verdict, get_domain
from components.scoring.verifiers.base import Item

__all__ = ["verify_domain"]


def verify_domain(item: Item) -> Verdict:
    """The verdict of the checker that the problem's ``domain`` names.

    A truncated completion keeps its strategy but has no answer: the domains have no closing tag, and "=108" may
    be the start of "=1081".

    Raises:
        PolyEpoError: there is no such domain, or the problem lacks what its domain needs.
    """
    verdict = get_domain(item.problem.domain).verify(item.problem, item.completion)
    return Verdict(None, 0.0, verdict.strategy) if item.truncated else verdict
