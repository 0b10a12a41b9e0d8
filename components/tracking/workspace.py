"""Reading the workspace for tracking: which metrics are published and not yet sent. No MLflow here."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from components.errors import PolyEpoError
from components.manifest import MANIFEST_NAME

__all__ = [
    "Reading",
    "arm_names",
    "arm_readings",
    "evaluated_policy",
    "evaluation_names",
    "evaluation_readings",
    "iteration_directory",
    "origin_of",
]

# Directory of one iteration -> prefix of its metrics' names.
_STEPS = {"rollouts": "rollout/", "scored": "scoring/", "update": "", "evaluation": "validation/"}
_TIMED = {"gate": "gate", "rollout": "rollouts", "score": "scored", "update": "update", "evaluate": "evaluation"}
_METRICS = "metrics.json"
_AT_K = re.compile(r"(?P<name>\w+?)_at_(?P<k>\d+)(?P<rest>.*)")  # after `_legal`: pass@8 is pass_at_8
_BAD_CHARACTERS = re.compile(r"[^\w.\- :/]")


@dataclass(frozen=True)
class Reading:
    """The metrics of one published file at one step.

    Attributes:
        stream: name of the series of files; steps within a stream only grow.
        step: iteration number (1-based) or k of pass@k.
        file: its modification time is the metrics' time stamp.
        values: metric name (legal in MLflow) -> finite value.
    """

    stream: str
    step: int
    file: Path
    values: Mapping[str, float]


def arm_names(workspace: Path) -> list[str]:
    """Arms with at least one iteration directory, in name order."""
    return sorted(path.parent.name for path in (workspace / "improve").glob("*/iterations"))


def evaluation_names(workspace: Path) -> list[str]:
    """Published evaluations, in name order."""
    return sorted(path.parent.name for path in (workspace / "evaluation").glob(f"*/{MANIFEST_NAME}"))


def arm_readings(arm: Path, timings: Path, marks: Mapping[str, int]) -> list[Reading]:
    """Metrics of the arm directory ``arm`` beyond ``marks`` (stream -> highest step already sent), oldest first.

    Args:
        arm: ``workspace/improve/NAME``.
        timings: JSON lines ``{"iteration", "step", "seconds", ...}``; may be absent.
        marks: stream -> highest step already sent.

    Raises:
        PolyEpoError: a metrics file is not a JSON object of numbers.
    """
    numbers = sorted(int(path.name) for path in (arm / "iterations").glob("*") if path.name.isdigit())
    readings = []
    for name, prefix in _STEPS.items():
        for number in numbers:
            directory = iteration_directory(arm, number) / name
            if number > marks.get(name, -1) and (directory / MANIFEST_NAME).is_file():
                values = {prefix + key: value for key, value in _metrics(directory).items()}
                readings.append(Reading(name, number, directory / _METRICS, values))
    return [reading for reading in readings if reading.values] + _timing_readings(arm, timings, marks)


def origin_of(arm: Path) -> str:
    """The run that the arm directory belongs to (its origin.json); "" when it belongs to none yet."""
    return str(_document(arm / "origin.json").get("run", ""))


def evaluated_policy(evaluation: Path) -> str:
    """Digest of the policy that an evaluation directory measured."""
    return str(_document(evaluation / _METRICS).get("policy", ""))


def evaluation_readings(evaluation: Path) -> list[Reading]:
    """Metrics of one evaluation: scalars at step 0; those of ``name@k`` also as ``name_by_k`` with step k.

    The second form makes MLflow draw the whole pass@k curve with k on its step axis.
    """
    file = evaluation / _METRICS
    scalars = _metrics(evaluation)
    curve: dict[int, dict[str, float]] = {}
    for key, value in scalars.items():
        match = _AT_K.fullmatch(key)
        if match:
            curve.setdefault(int(match["k"]), {})[f"{match['name']}_by_k{match['rest']}"] = value
    readings = [Reading("curve", k, file, values) for k, values in sorted(curve.items())]
    return [*readings, Reading("scalars", 0, file, scalars)] if scalars else []


def iteration_directory(arm: Path, number: int) -> Path:
    """``iterations/000012`` for iteration 12."""
    return arm / "iterations" / f"{number:06d}"


def _timing_readings(arm: Path, timings: Path, marks: Mapping[str, int]) -> list[Reading]:
    """Seconds and throughput per step, stamped like the step's published directory; the last line of a step wins."""
    if not timings.is_file():
        return []
    found: dict[tuple[str, int], Reading] = {}
    for line in timings.read_text(encoding="utf-8").splitlines():
        entry = _timing(line)
        step, number = str(entry.get("step", "")), int(entry.get("iteration", -1))
        manifest = iteration_directory(arm, number) / _TIMED.get(step, step) / MANIFEST_NAME
        if not step or number <= marks.get(f"timing/{step}", -1) or not manifest.is_file():
            continue
        values = {
            f"timing/{step}/{_legal(key)}": float(value)
            for key, value in entry.items()
            if key not in ("iteration", "step") and _is_number(value)
        }
        found[step, number] = Reading(f"timing/{step}", number, manifest, values)
    return sorted(found.values(), key=lambda reading: (reading.stream, reading.step))


def _timing(line: str) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except ValueError:
        return {}  # the line is being written, or was cut by a kill: timings are a courtesy, not a record
    return entry if isinstance(entry, dict) else {}


def _metrics(directory: Path) -> dict[str, float]:
    return dict(_scalars("", _document(directory / _METRICS)))


def _document(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}  # there is none, or its directory is being replaced: the next sync sees it
    except ValueError as error:
        raise PolyEpoError(
            f"not JSON: {error}", where=str(path), remedy=f"remove {path.parent} and run its stage again"
        ) from error
    return document if isinstance(document, dict) else {}


def _scalars(prefix: str, value: object) -> Iterator[tuple[str, float]]:
    if isinstance(value, dict):
        for key, item in value.items():
            # An interval's middle is the metric itself: {"pass@1": {"value", "low", "high"}}.
            name = prefix if prefix and key == "value" else "/".join(filter(None, [prefix, _legal(str(key))]))
            yield from _scalars(name, item)
    elif prefix and _is_number(value):
        yield prefix, float(cast(float, value))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _legal(key: str) -> str:
    return _BAD_CHARACTERS.sub("_", key.replace("@", "_at_"))
