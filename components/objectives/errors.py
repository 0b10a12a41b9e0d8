"""The error of this package: one line for the user, and a ``ValueError`` for the programmer."""

from __future__ import annotations

from components.errors import PolyEpoError

__all__ = ["ObjectiveError"]


class ObjectiveError(PolyEpoError, ValueError):
    """Rewards, clusters or parameters an objective cannot work with; names the prompt and the value."""

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (self.what, self.where, self.value, self.remedy))


def _rebuild(what: str, where: str, value: object, remedy: str) -> ObjectiveError:
    return ObjectiveError(what, where=where, value=value, remedy=remedy)
