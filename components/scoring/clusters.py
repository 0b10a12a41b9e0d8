"""What a clusterer is: from the completions of each problem to the distinct strategies among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from components.records import DEGENERATE, Problem

__all__ = ["AheadClusterer", "Clusterer", "Clustering", "Clusters", "Group", "number_by_appearance"]


@dataclass(frozen=True)
class Group:
    """All completions of one problem in a batch, with what the verifier said; equally long sequences."""

    problem: Problem
    completions: Sequence[str]
    parsed_answers: Sequence[str | None]
    strategies: Sequence[str | None]


@dataclass(frozen=True)
class Clusters:
    """One cluster id and readable cluster name per completion; -1 and "" for a degenerate one.

    Ids are 0..k-1 in order of first appearance within the group.
    """

    ids: list[int]
    names: list[str]


@dataclass(frozen=True)
class Clustering:
    """The clusters of several groups, in their order, and what is to be counted about how they were found."""

    clusters: list[Clusters]
    counts: dict[str, float] = field(default_factory=dict)


class Clusterer(Protocol):
    """Groups the completions of problems by strategy."""

    def cluster(self, groups: Sequence[Group]) -> Clustering:
        """The clusters of each group: the same for the same group, whatever groups stand beside it."""
        ...

    def close(self) -> None:
        """Give back connections and models, if any."""
        ...


@runtime_checkable
class AheadClusterer(Clusterer, Protocol):
    """A clusterer whose work takes long and can begin before a batch is whole."""

    def begin(self, problem: Problem, completions: Sequence[str]) -> None:
        """Begin with a group that ``cluster`` will be called with, and return at once; never raises what comes of it.

        What ``cluster`` returns does not depend on it.
        """
        ...


def number_by_appearance(names: Sequence[str | None]) -> list[int]:
    """0, 1, ... in order of first appearance; None becomes -1."""
    ids: dict[str, int] = {}
    return [DEGENERATE if name is None else ids.setdefault(name, len(ids)) for name in names]
