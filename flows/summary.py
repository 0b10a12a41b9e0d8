"""What a run shows at its end: the table, the figures, where to look, and where the time went."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from flows.settings import STATE
from flows.tables import print_document

__all__ = ["orchestration_shares", "print_summary", "record_run", "write_seconds"]


def write_seconds(root: Path, seconds: Mapping[str, float]) -> None:
    """Note how long the stages took that this run ran; stages it skipped keep what was noted before."""
    path = _seconds_file(root)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**_read(path), **seconds}, indent=2) + "\n", encoding="utf-8")


def record_run(root: Path, flow_run_id: str, address: str, outcomes: Mapping[str, str]) -> None:
    """Add one line to .poly-epo/runs.jsonl: the flow run, where MLflow shows it, and how every stage ended."""
    path = root / STATE / "runs.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    ended = datetime.now(UTC).isoformat(timespec="seconds")
    facts = {"flow_run_id": flow_run_id, "ended": ended, "mlflow": address, "stages": dict(outcomes)}
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(facts) + "\n")


def orchestration_shares(root: Path) -> dict[str, float]:
    """Arm -> the share of its stage's wall time that was Prefect, DVC and manifests, not computing or loading.

    The stage's wall time runs from DVC's verdict to its record in dvc.lock.
    """
    shares = {}
    for stage, seconds in _read(_seconds_file(root)).items():
        arm = stage.partition("@")[2]
        inside = _read(root / STATE / "timings" / f"improve-{arm}.json")
        if stage.startswith("improve@") and inside and seconds > 0:
            own = inside["compute_seconds"] + inside["load_seconds"]
            shares[arm] = max(0.0, 1.0 - own / seconds)
    return shares


def print_summary(root: Path, seconds: float) -> None:
    """Print the end of a run that took ``seconds`` in all."""
    # A table in a log file is not wrapped at the 80 columns that rich takes where there is no terminal.
    console = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 160)
    comparison = root / "reports" / "comparison"
    document = _read(comparison / "table.json")
    if document:
        print_document(document, console)
    figures = sorted(path.relative_to(root) for path in comparison.glob("figures/*.png"))
    if figures:
        console.print("figures: " + "  ".join(map(str, figures)), markup=False)
    console.print("look around: poly-epo ui mlflow   poly-epo ui prefect   dvc metrics show   dvc plots show")
    shares = orchestration_shares(root)
    if shares:
        parts = ", ".join(f"{arm} {100 * share:.1f}%" for arm, share in shares.items())
        console.print(f"orchestration share of improve: {parts}", markup=False)
    console.print(f"total time: {seconds:.1f} s")


def _read(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}  # timings are a courtesy: absent, or cut off by a kill, they are not shown
    return document if isinstance(document, dict) else {}


def _seconds_file(root: Path) -> Path:
    return root / STATE / "timings" / "stages.json"
