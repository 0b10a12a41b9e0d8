"""Where runs lie on disk: the project's own workspace, and directories of further ones.

    PROJECT/params.yaml, workspace/, reports/, .poly-epo/          the project, always shown as ``current``
    RUNS/NAME/params.yaml, data/, base/, improve/, evaluation/ ... an archived workspace with a copy of its params
    RUNS/NAME/params.yaml, workspace/, reports/, .poly-epo/        or another checkout of the project

A name in an address is looked up among these; no path is ever made from it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Source", "find_sources"]

CURRENT = "current"


@dataclass(frozen=True)
class Source:
    """One workspace and what belongs to it.

    Attributes:
        name: unique; the first part of a run's id.
        workspace: data/, base/, improve/, evaluation/, promotion/.
        params: params.yaml, which may be missing.
        reports: holds comparison/.
        state: local state (timings, Data Docs, tracking); may be missing.
        lock: dvc.lock, which may be missing.
    """

    name: str
    workspace: Path
    params: Path
    reports: Path
    state: Path
    lock: Path


def find_sources(project: Path, roots: Sequence[Path]) -> list[Source]:
    """The project's own workspace, then those below ``roots`` in name order; a name met twice gets a number."""
    sources = [_checkout(CURRENT, project)]
    taken = {CURRENT}
    for root in roots:
        for name in _directories(root):
            directory = root / name
            unique = _unique(name, taken)
            taken.add(unique)
            nested = (directory / "workspace").is_dir()
            sources.append(_checkout(unique, directory) if nested else _archived(unique, directory))
    return sources


def _checkout(name: str, root: Path) -> Source:
    state = root / ".poly-epo"
    return Source(name, root / "workspace", root / "params.yaml", root / "reports", state, root / "dvc.lock")


def _archived(name: str, root: Path) -> Source:
    return Source(name, root, root / "params.yaml", root / "reports", root, root / "dvc.lock")


def _directories(root: Path) -> list[str]:
    try:
        with os.scandir(root) as entries:
            # A colon would make ids ambiguous: it stands between the workspace and the arm.
            return sorted(e.name for e in entries if e.is_dir() and not e.name.startswith(".") and ":" not in e.name)
    except OSError:
        return []


def _unique(name: str, taken: set[str]) -> str:
    number = 2
    unique = name
    while unique in taken:
        unique, number = f"{name}-{number}", number + 1
    return unique
