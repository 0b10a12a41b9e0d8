"""The one error type a user meets: what is wrong, where, with which value, and the remedy."""

from __future__ import annotations

__all__ = ["PolyEpoError"]


class PolyEpoError(Exception):
    """A fault the user can mend, told in one line.

    Args:
        what: what is wrong, e.g. ``"set_size must be smaller than group_size"``.
        where: the file, row, column, parameter or stage it was found in.
        value: the offending value, shown with ``repr`` and shortened.
        remedy: what to do about it.
    """

    def __init__(self, what: str, *, where: str = "", value: object = None, remedy: str = "") -> None:
        self.what = what
        self.where = where
        self.value = value
        self.remedy = remedy
        super().__init__(self.line())

    def line(self) -> str:
        """The whole message on one line; control characters of hostile values are escaped by ``repr``."""
        parts = [f"{self.where}: {self.what}" if self.where else self.what]
        if self.value is not None:
            shown = repr(self.value)
            parts.append(f"(got {shown if len(shown) <= 200 else shown[:197] + '...'})")
        if self.remedy:
            parts.append(f"-> {self.remedy}")
        return " ".join(" ".join(parts).splitlines())

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword-only arguments: the default pickling (used between processes) would lose them.
        return (_rebuild, (self.what, self.where, self.value, self.remedy))


def _rebuild(what: str, where: str, value: object, remedy: str) -> PolyEpoError:
    return PolyEpoError(what, where=where, value=value, remedy=remedy)
