"""Parameters of scoring: who judges completions, in what limits, and how they are clustered."""

from __future__ import annotations

import re
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from components.params import Section

__all__ = ["CHILD_VERIFIERS", "IN_PROCESS_VERIFIERS", "ScoringParams", "is_import_path"]

IN_PROCESS_VERIFIERS = ("domain", "exact")
"""Verifiers of bounded cost on any text: they run in the scoring process itself."""

CHILD_VERIFIERS = ("math_verify", "reasoning_gym")
"""Verifiers that hostile text can hang or bloat: they run in child processes that can be killed."""

_IMPORT_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


class ScoringParams(Section):
    """Section ``scoring`` of params.yaml.

    Attributes:
        verifier: ``domain``, ``exact``, ``math_verify``, ``reasoning_gym``, or the import path
            ``package.module:function`` of your own (docs/scoring.md).
        clusterer: ``answer`` (distinct parsed answers) or ``strategy`` (strategies the verifier names).
        timeout_seconds: wall-clock limit of one verification in a child process, seconds.
        memory_mib: address-space limit of a child process, MiB, its libraries included.
        workers: child processes that verify side by side.
        correct_reward: a completion with at least this reward counts as correct.
    """

    verifier: str = "domain"
    clusterer: Literal["answer", "strategy"] = "answer"
    timeout_seconds: float = Field(default=5.0, gt=0.0, le=3600.0)
    memory_mib: int = Field(default=1024, ge=256)
    workers: int = Field(default=1, ge=1, le=256)
    correct_reward: float = Field(default=1.0, gt=0.0, le=1.0)

    @field_validator("verifier")
    @classmethod
    def _known_verifier(cls, value: str) -> str:
        known = (*IN_PROCESS_VERIFIERS, *CHILD_VERIFIERS)
        if value not in known and not is_import_path(value):
            raise ValueError(f"must be one of {', '.join(known)}, or an import path package.module:function")
        return value

    @model_validator(mode="after")
    def _strategies_exist(self) -> Self:
        if self.clusterer == "strategy" and self.verifier in ("exact", *CHILD_VERIFIERS):
            raise ValueError(
                f"clusterer 'strategy' needs a verifier that names strategies; {self.verifier!r} does not: "
                "take verifier 'domain' or your own, or clusterer 'answer'"
            )
        return self


def is_import_path(verifier: str) -> bool:
    """Whether ``verifier`` has the form ``package.module:function``."""
    return _IMPORT_PATH.fullmatch(verifier) is not None
