"""Problem domains: what counts as a correct completion, and which reasoning strategy it shows.

    verdict = get_domain("polynomial").verify(problem, completion)

A domain is pure text work, cheap and safe on hostile completions: it never executes, never backtracks without
bound, and never builds integers of unbounded size.
"""

from __future__ import annotations

from components.domains.base import Domain, Verdict
from components.domains.registry import DOMAINS, get_domain

__all__ = ["DOMAINS", "Domain", "Verdict", "get_domain"]
