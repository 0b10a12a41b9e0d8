"""The reward of benchmarks/training.py's `end`, on both sides: light, for it is imported in the verifier's process."""

from __future__ import annotations

from typing import Any


def even_length(problem: Any, completion: str) -> float:
    """A coin on the text, so that whatever is sampled gives a signal."""
    return float(len(completion) % 2 == 0)
