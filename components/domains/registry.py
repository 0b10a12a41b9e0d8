"""The domains by name."""

from __future__ import annotations

from components.domains.base import Domain
from components.domains.multiplication import Multiplication
from components.domains.polynomial import Polynomial
from components.errors import PolyEpoError

__all__ = ["DOMAINS", "get_domain"]

DOMAINS: dict[str, Domain] = {domain.name: domain for domain in (Polynomial(), Multiplication())}
"""Domain name (column ``domain`` of a problem) -> its verifier and strategy parser."""


def get_domain(name: str) -> Domain:
    """The domain called ``name``.

    Raises:
        PolyEpoError: there is no such domain; the line lists the known ones.
    """
    domain = DOMAINS.get(name)
    if domain is None:
        raise PolyEpoError(
            "no domain checker of this name",
            where="domain",
            value=name,
            remedy=f"known: {', '.join(DOMAINS)}; other problems are judged by another scoring.verifier",
        )
    return domain
