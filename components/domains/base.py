"""What a domain says about one completion, and the interface every domain has."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Protocol

from components.errors import PolyEpoError
from components.records import Problem

__all__ = ["Domain", "Verdict", "integer_metadata"]


@dataclass(frozen=True)
class Verdict:
    """The judgement of one completion.

    Attributes:
        parsed_answer: canonical final answer, or None where the completion states none.
        reward: 1.0 for a correct completion, else 0.0; always within [0, 1].
        strategy: readable name of the reasoning strategy; None marks a degenerate completion (it is in no
            cluster: gibberish or a bare guess; section "polychromic objective" of arXiv 2604.17654).
    """

    parsed_answer: str | None
    reward: float
    strategy: str | None


class Domain(Protocol):
    """A family of problems with one grammar of answers."""

    name: str

    def verify(self, problem: Problem, completion: str) -> Verdict:
        """Judge ``completion``, which is hostile text of any length.

        Raises:
            PolyEpoError: the *problem* is not one of this domain (its metadata lacks what the domain needs).
        """
        ...


@lru_cache(maxsize=65_536)
def _metadata(text: str) -> Mapping[str, Any] | None:
    try:
        document = json.loads(text)
    except ValueError:
        return None
    return MappingProxyType(document) if isinstance(document, dict) else None


def integer_metadata(problem: Problem, *keys: str) -> tuple[int, ...]:
    """The integers under ``keys`` in the problem's JSON metadata.

    Raises:
        PolyEpoError: the metadata is not a JSON object or a key is missing or not an integer.
    """
    document = _metadata(problem.metadata)
    values = [None if document is None else document.get(key) for key in keys]
    if any(type(value) is not int for value in values):
        raise PolyEpoError(
            f"metadata of a {problem.domain} problem must hold the integers {', '.join(keys)}",
            where=f"problem {problem.problem_id}",
            value=problem.metadata,
            remedy="make the problems with this domain's own source, or name the right domain",
        )
    return tuple(value for value in values if value is not None)
