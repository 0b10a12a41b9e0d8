"""What has been sent to MLflow: one small JSON file per retrain, written atomically, safe to lose.

A file that is lost costs one look at the server (`Store.logged_steps`), never a doubled metric.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from components.errors import PolyEpoError
from components.manifest import write_json

__all__ = ["RunState", "State", "load_state", "locked", "save_state"]

_FORMAT = 1


@dataclass
class RunState:
    """What one MLflow run holds.

    Attributes:
        run_id: MLflow's id.
        marks: stream of metrics -> highest step sent.
        pending: ``stream/step`` -> time stamp (ms), noted before sending, so that a repeat sends identical rows
            even when the file's modification time has changed in between.
        done: name of an artifact, tag set or status -> fingerprint of what was sent.
        recovered: found by tag and not by this file: the server says what it already holds.
    """

    run_id: str
    marks: dict[str, int] = field(default_factory=dict)
    pending: dict[str, int] = field(default_factory=dict)
    done: dict[str, str] = field(default_factory=dict)
    recovered: bool = False


@dataclass
class State:
    """All runs of one retrain in one store (``uri``): ``retrain``, ``arm/NAME``, ``evaluation/NAME``."""

    uri: str
    runs: dict[str, RunState] = field(default_factory=dict)


def load_state(path: Path, uri: str) -> State:
    """The saved state, or an empty one when there is none or it belongs to another store.

    Raises:
        PolyEpoError: the file is not one that `save_state` wrote.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["uri"] != uri:
            return State(uri)
        return State(uri, {name: RunState(**run) for name, run in document["runs"].items()})
    except FileNotFoundError:
        return State(uri)
    except (ValueError, KeyError, TypeError) as error:
        raise PolyEpoError(
            f"unreadable tracking state: {error}",
            where=str(path),
            remedy="remove the file; the next sync finds the runs again by their tags",
        ) from error


def save_state(path: Path, state: State) -> None:
    """Write the state atomically."""
    write_json(path, {"format": _FORMAT, "uri": state.uri, "runs": {n: asdict(r) for n, r in state.runs.items()}})


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """One sync at a time, over threads and processes; the kernel frees the lock of a killed process."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / ".lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield
