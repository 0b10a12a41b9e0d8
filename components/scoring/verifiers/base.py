"""What a verifier is given and what it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from components.domains import Verdict
from components.records import Problem

__all__ = ["Item", "Verifier"]


@dataclass(frozen=True)
class Item:
    """One completion to judge.

    Attributes:
        problem: the problem it answers.
        completion: its text; hostile.
        truncated: whether sampling ended at the length limit, so that the text may be a mere beginning.
    """

    problem: Problem
    completion: str
    truncated: bool = False


Verifier = Callable[[Item], Verdict]
"""Judges one item. A fault of the *problem* raises PolyEpoError; no completion may make it raise one."""
