"""Checks of the parameters that come from params.yaml; each raises ObjectiveError with the name and the value."""

from __future__ import annotations

import math

import numpy as np

from components.objectives.errors import ObjectiveError

__all__ = ["check_flag", "check_number", "check_set_size", "check_whole"]


def check_set_size(set_size: object) -> None:
    """Refuse an n that is no whole number of at least 1."""
    check_whole("set_size", set_size, least=1)


def check_whole(name: str, value: object, *, least: int) -> None:
    """Refuse what is no whole number of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ObjectiveError(f"must be a whole number of at least {least}", where=name, value=value)


def check_number(name: str, value: object, *, least: float = -math.inf) -> None:
    """Refuse what is no finite number of at least ``least``."""
    number = math.nan
    if isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool):
        number = float(value)
    if not math.isfinite(number) or number < least:
        bound = "" if least == -math.inf else f" of at least {least:g}"
        raise ObjectiveError(f"must be a finite number{bound}", where=name, value=value)


def check_flag(name: str, value: object) -> None:
    """Refuse what is neither true nor false."""
    if not isinstance(value, bool):
        raise ObjectiveError("must be true or false", where=name, value=value)
