"""The interface of every source of problems.

A source lists *candidates*: problems that are not split yet. A source that can also work a problem out has
``demonstrations``; the others give none.
"""

from __future__ import annotations

import importlib
import random
from dataclasses import dataclass
from typing import Any, Protocol, cast

from components.data.params import SourceParams
from components.records import Problem

__all__ = ["Candidate", "Source", "open_source"]


@dataclass(frozen=True)
class Candidate:
    """A problem before it is split.

    Attributes:
        problem_id, prompt, answer, domain, metadata: as in ``components.records.Problem``.
        split: the split the user's own file names, or None to have it drawn.
        origin: where it was read, for error messages: ``"problems.jsonl line 3"``; "" for a generated one.
    """

    problem_id: str
    prompt: str
    answer: str
    domain: str
    metadata: str = "{}"
    split: str | None = None
    origin: str = ""


class Source(Protocol):
    """Where problems come from."""

    def identity(self) -> dict[str, Any]:
        """JSON-like facts that pin outside inputs: file digests, library versions; {} where params say it all."""
        ...

    def candidates(self, seed: int) -> list[Candidate]:
        """All problems of the source, in an order that depends on its params and ``seed`` alone."""
        ...

    def demonstrations(self, problem: Problem, *, count: int, wrong: int, rng: random.Random) -> list[str]:
        """``count`` worked completions of ``problem``, ``wrong`` of them with a wrong answer; [] if it has none."""
        ...


_SOURCES = {
    "polynomial": "components.data.sources.polynomial:PolynomialProblems",
    "multiplication": "components.data.sources.multiplication:MultiplicationProblems",
    "reasoning_gym": "components.data.sources.reasoning_gym:ReasoningGymProblems",
    "file": "components.data.sources.file:FileProblems",
    "hub": "components.data.sources.hub:HubProblems",
    "champ": "components.data.sources.champ:ChampProblems",
}


def open_source(params: SourceParams) -> Source:
    """The source that ``params`` describe; only the module of its kind is imported."""
    module, _, attribute = _SOURCES[params.kind].partition(":")
    return cast(Source, getattr(importlib.import_module(module), attribute)(params))
