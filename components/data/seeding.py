"""Independent streams of randomness, one per purpose."""

from __future__ import annotations

import random

__all__ = ["stream"]


def stream(*key: object) -> random.Random:
    """A generator that depends on ``key`` alone, e.g. ``stream(seed, "split")``.

    Python's own generator: its string seeding and integer draws give the same bytes on every platform.
    """
    return random.Random(":".join(str(part) for part in key))  # noqa: S311  not a secret
