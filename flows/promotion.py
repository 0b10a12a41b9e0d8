"""The flows `promote` and `rollback`: the registry's aliases moved by hand, recorded in Prefect and told."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from pydantic import Field

from flows.child import run_command_line
from flows.notify import News, tell

__all__ = ["promote", "rollback"]

Version = Annotated[str, Field(pattern=r"^([1-9]\d*|challenger|previous|[0-9a-f]{8,64})$")]
"""A number, an alias, or eight or more digits of a policy digest."""


@flow(name="promote")
def promote(version: Version = "challenger", root: str = ".") -> str:
    """Make ``version`` the champion, whatever the gate said.

    Raises:
        StageFailed: there is no such version, another promotion came first, or the registry is away.
    """
    return _move(root, ["promote", version], News.PROMOTED)


@flow(name="rollback")
def rollback(root: str = ".") -> str:
    """Make the previous champion the champion again.

    Raises:
        StageFailed: there is none, another promotion came first, or the registry is away.
    """
    return _move(root, ["rollback"], News.ROLLED_BACK)


def _move(root: str, action: list[str], news: News) -> str:
    # A process of its own: MLflow takes seconds to import, and its output becomes this flow's log.
    printed = run_command_line([sys.executable, "-m", "components.registry", *action], Path(root), action[0])
    told = printed.strip().rpartition("\n")[2]
    create_markdown_artifact(f"{told}.", key=action[0], description="the registry's aliases")
    tell(Path(root), news, told)
    return told
