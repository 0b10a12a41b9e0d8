"""dvc.lock written atomically and in the order `dvc repro` would write it.

DVC appends a stage to dvc.lock when it ends. Stages that run in parallel end in any order, so the entries are put
back into the order of the plan: the same run through either front door then gives the same bytes.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dvc.utils.serialize import modify_yaml

__all__ = ["ordered_names", "record_stage"]


def ordered_names(present: Sequence[str], known_before: Sequence[str], plan: Sequence[str]) -> list[str]:
    """The order of the lock file's entries: those that were there before the run as they stood, then the plan's.

    Args:
        present: stage names now in the file.
        known_before: names that were in the file before the run, in file order; `dvc repro` updates these in place.
        plan: all stage names in the order in which `dvc repro` runs them.
    """
    order = dict.fromkeys([*known_before, *plan])
    rank = {name: position for position, name in enumerate(order)}
    return sorted(present, key=lambda name: rank.get(name, len(rank)))


def record_stage(path: Path, entry: dict[str, Any], known_before: Sequence[str], plan: Sequence[str]) -> None:
    """Put ``entry`` (stage name -> its lock data, as DVC serialises it) into the lock file at ``path``.

    The new file takes the old one's place in one rename: a kill leaves the old or the new file, never half of one.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    if path.exists():
        shutil.copyfile(path, temporary)
    else:
        temporary.unlink(missing_ok=True)
    with modify_yaml(str(temporary)) as data:
        if not data:
            data.update({"schema": "2.0"})
        stages = data.get("stages", {})
        stages.update(entry)
        names = ordered_names(list(stages), known_before, plan)
        if names != list(stages):
            for name in names:  # moving every entry to the end, in turn, leaves them in the order of ``names``
                stages[name] = stages.pop(name)
        data["stages"] = stages
    temporary.replace(path)
