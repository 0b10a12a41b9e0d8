"""The verifier ``domain``: the exact checker of the problem's own domain."""

from __future__ import annotations

from components.domains import Verdict, get_domain
from components.scoring.verifiers.base import Item

__all__ = ["verify_domain"]


def verify_domain(item: Item) -> Verdict:
    """The verdict of the checker that the problem's ``domain`` names.

    Raises:
        PolyEpoError: there is no such domain, or the problem lacks what its domain needs.
    """
    return get_domain(item.problem.domain).verify(item.problem, item.completion)
