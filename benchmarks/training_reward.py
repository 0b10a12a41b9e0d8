"""The reward of benchmarks/training.py's `end`, on both sides: light, for it is imported in the verifier's process."""

from __future__ import annotations

from typing import Any


def remainder(problem: Any, completion: str) -> float:
    """In [0, 1) and hardly ever the same for two texts, so that whatever is sampled gives a signal."""
    return len(completion) % 97 / 97
