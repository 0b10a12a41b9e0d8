"""The samples of one call, kept part by part: a call that was killed goes on with the problems it had not reached.

A part is a slice of the problems, sampled with a seed of its own and published as a directory; all parts together
are removed when the evaluation itself is published. Where the problems fit into one part its seed is the call's, so
that small evaluations are sampled as if there were no parts.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from components.manifest import fingerprint, is_published, publish
from components.records import ROLLOUT, Problem, read_records, write_records
from components.rollout.engine import RolloutEngine

__all__ = ["COMPLETIONS_PER_PART", "Parts"]

COMPLETIONS_PER_PART = 512
"""What a kill can cost at most; fixed, because the parts decide the seeds and so the samples."""

_ROLLOUTS = "rollouts.parquet"
_log = logging.getLogger(__name__)


class Parts:
    """Parts of the evaluation ``out``, in a hidden directory beside it.

    Args:
        out: the evaluation's directory.
        sampling: policy, data set, seed and rollout settings: what the samples depend on.
    """

    def __init__(self, out: Path, sampling: Mapping[str, Any]) -> None:
        self._directory = out.with_name(f".{out.name}.parts")
        self._sampling = dict(sampling)

    def sample(
        self, engine: Callable[[], RolloutEngine], problems: Sequence[Problem], *, group_size: int, seed: int
    ) -> pa.Table:
        """``group_size`` completions per problem as from the engine; parts that stand already are not sampled again.

        Raises:
            PolyEpoError: a part is damaged, or cannot be written.
        """
        size = max(COMPLETIONS_PER_PART // group_size, 1)
        sampler: RolloutEngine | None = None
        tables = []
        for first in range(0, len(problems), size):
            part = problems[first : first + size]
            directory = self._directory / f"{first:08d}"
            content = fingerprint("part", self._sampling, seed, group_size, first, len(part))
            if not is_published(directory, content):
                sampler = sampler or engine()
                table = sampler.sample(part, group_size=group_size, seed=_seed(seed, first))
                with publish(directory, fingerprint=content) as temporary:
                    write_records(temporary / _ROLLOUTS, table, ROLLOUT)
            tables.append(read_records(directory / _ROLLOUTS, ROLLOUT))
            _log.info("sampled %d of %d problems", first + len(part), len(problems))
        return pa.concat_tables(tables).combine_chunks() if tables else ROLLOUT.empty_table()

    def remove(self) -> None:
        """Forget the parts: the evaluation holds their samples."""
        shutil.rmtree(self._directory, ignore_errors=True)

    @staticmethod
    def count(problems: int, group_size: int) -> int:
        """How many parts ``problems`` make."""
        return -(-problems // max(COMPLETIONS_PER_PART // max(group_size, 1), 1))


def _seed(seed: int, first: int) -> int:
    return seed if first == 0 else int(fingerprint("part", seed, first)[:15], 16)
