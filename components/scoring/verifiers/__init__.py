"""Verifiers: each judges one completion. One per file; ``load_verifier`` finds them by name."""

from __future__ import annotations

from components.scoring.verifiers.base import Item, Verifier
from components.scoring.verifiers.registry import load_verifier

__all__ = ["Item", "Verifier", "load_verifier"]
