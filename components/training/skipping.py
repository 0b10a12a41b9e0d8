"""Optimizer steps whose loss or gradient is not finite: skipped and counted; too many in a row end the run."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from components.errors import PolyEpoError

__all__ = ["SkippedSteps"]

log = logging.getLogger(__name__)
_NAMED = 3


class SkippedSteps:
    """Counts skipped steps in a row.

    Attributes:
        in_row: steps skipped since the last one that was taken; part of the trainer's state.
    """

    def __init__(self, limit: int, in_row: int = 0) -> None:
        self._limit = limit
        self.in_row = in_row

    def taken(self) -> None:
        """A step was taken."""
        self.in_row = 0

    def skip(self, what: str, *, step: int, rollouts: Sequence[str]) -> None:
        """A step is skipped because ``what`` (loss or gradient) is not finite.

        Raises:
            PolyEpoError: it is one too many in a row; names the rollouts of the step.
        """
        self.in_row += 1
        named = ", ".join(rollouts[:_NAMED]) + (f" and {len(rollouts) - _NAMED} more" if len(rollouts) > _NAMED else "")
        where = f"optimizer step {step}, rollouts {named}"
        if self.in_row > self._limit:
            raise PolyEpoError(
                f"the {what} is not finite",
                where=where,
                value=f"{self.in_row} in a row",
                remedy="lower training.learning_rate; nothing of this update was kept",
            )
        log.warning("%s: the %s is not finite, the step is skipped (%d in a row)", where, what, self.in_row)
