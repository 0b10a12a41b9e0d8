"""The one interface of rollout engines: load a policy version, sample N completions per prompt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from components.records import Problem
from components.rollout.params import RolloutParams

__all__ = ["Finished", "RolloutEngine", "get_engine"]

Finished = Callable[[pa.Table], None]
"""Is handed whole groups (ROLLOUT rows) as they end, while others are still sampled: returns at once, and may be
called from several threads."""


class RolloutEngine(Protocol):
    """Samples completions from a policy; stays warm between calls."""

    def load_policy(self, directory: Path, version: int) -> None:
        """Make ``directory`` the policy that ``sample`` uses; its rollouts carry ``version``."""

    def sample(
        self, problems: Sequence[Problem], *, group_size: int, seed: int, finished: Finished | None = None
    ) -> pa.Table:
        """``group_size`` i.i.d. completions per problem at temperature 1, as a ROLLOUT table.

        Every group is also handed to ``finished``, once, in whatever order they end.

        Rows are ordered by problem, then by sample index. Log-probabilities are those of the sampled tokens
        under the full distribution, natural logarithm, one per completion token.
        """


def get_engine(
    params: RolloutParams, *, state: Path = Path(".poly-epo"), owner: str = "evaluation", base: Path | None = None
) -> RolloutEngine:
    """The engine that ``params.engine`` names.

    Args:
        params: section ``rollout``.
        state: local state that is not versioned: groups that are finished while others are not, logs of servers.
        owner: whose groups these are: after a kill, the same one finds them again.
        base: the policy of version 0, which the later versions' adapters stand beside; None: policies are loaded whole.
    """
    # Imported here: params and flows read this module without paying for torch.
    if params.engine == "vllm":
        from components.rollout.vllm_engine import VllmEngine  # noqa: PLC0415

        return VllmEngine(params, state=state, owner=owner, base=base)
    from components.rollout.transformers_engine import TransformersEngine  # noqa: PLC0415

    return TransformersEngine(max_new_tokens=params.max_new_tokens, batch_size=params.batch_size)
