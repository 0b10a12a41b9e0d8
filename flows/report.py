"""What a retrain leaves in Prefect's pages: why it ran and what came of it, the table, the figure, where to look."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact

__all__ = ["decision_of", "publish_report"]

_FIGURE_LIMIT = 400_000  # bytes; larger ones stay in MLflow alone


def decision_of(root: Path) -> dict[str, Any]:
    """The gate's last decision in the workspace; {} when there is none."""
    path = root / "workspace" / "promotion" / "decision.json"
    if not path.is_file():
        return {}
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


def publish_report(root: Path, reason: str, address: str) -> None:
    """Make the artifacts of this flow run.

    Args:
        root: the project.
        reason: why the retrain ran, Markdown.
        address: of the MLflow run; not linked where it is no URL.
    """
    decision = root / "workspace" / "promotion" / "decision.md"
    told = decision.read_text(encoding="utf-8") if decision.is_file() else ""
    create_markdown_artifact(f"## Why\n\n{reason}\n\n{told}{_figure(root)}", key="retrain", description="why, and what")
    create_table_artifact(_rows(root), key="comparison", description="models on the same problems")
    if address.startswith("http"):
        create_link_artifact(address, link_text="MLflow run", key="mlflow")


def _rows(root: Path) -> list[dict[str, Any]]:
    """One row for each evaluated model: its metrics with their intervals."""
    rows = []
    found = [*(root / "workspace" / "evaluation").glob("*/metrics.json")]
    found += (root / "workspace" / "sets" / "test").glob("*/metrics.json")
    for path in sorted(found):
        metrics = json.loads(path.read_text(encoding="utf-8"))
        row: dict[str, Any] = {"model": path.parent.name}
        for name, value in metrics.items():
            if isinstance(value, dict) and "value" in value:
                row[name] = f"{value['value']:.3f} [{value['low']:.3f}, {value['high']:.3f}]"
        rows.append(row)
    return rows


def _figure(root: Path) -> str:
    """The pass@k figure inside the Markdown, so that the page needs no other server."""
    path = root / "reports" / "comparison" / "figures" / "pass_at_k.png"
    if not path.is_file() or path.stat().st_size > _FIGURE_LIMIT:
        return ""
    return f"\n\n![pass@k](data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()})\n"
