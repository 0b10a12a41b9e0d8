"""What `poly-epo models` prints: the list of versions, one version, its card and its lineage."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from components.errors import PolyEpoError
from components.manifest import MANIFEST_NAME
from components.registry.card import CARD
from components.registry.evidence import Evidence
from components.registry.judge import DECISION_TAG, VERDICT_TAG
from components.registry.lineage import LINEAGE, lineage_text
from components.registry.store import EVIDENCE, Models, Version

__all__ = ["SUMMARY_TAG", "card", "kept_text", "lineage", "summary", "version_page", "versions_table"]

SUMMARY_TAG = "poly_epo.summary"
_EVALUATIONS = Path(".poly-epo/evaluations")  # where `poly-epo evaluate` puts its results, by set and policy
_SHOWN = ("pass@1", "pass@8", "pass@32")


def summary(metrics: Mapping[str, Any], lineage: Mapping[str, Any]) -> str:
    """What the list shows of a version, small enough for a tag: pass@k with intervals, and the data's digest."""
    shown = {name: [metrics[name][end] for end in ("value", "low", "high")] for name in _SHOWN if name in metrics}
    return json.dumps({"metrics": shown, "data": lineage["data"].get("digest", "")}, sort_keys=True)


def versions_table(versions: Sequence[Version]) -> str:
    """One line per version: number, aliases, policy, pass@k with intervals, data, verdict, when it was registered."""
    if not versions:
        return "no versions yet: `poly-epo run` registers the first"
    header = ["version", "aliases", "policy", *_SHOWN, "data", "verdict", "registered (UTC)"]
    rows = [header, *(_row(version) for version in versions)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def version_page(models: Models, version: Version) -> str:
    """Everything about one version but its card: where it is and why it was promoted or refused."""
    noted = json.loads(version.tags.get(DECISION_TAG, "{}")).get("decision")
    lines = [
        f"{models.name} version {version.number}{_aliases(version)}",
        f"  policy      {version.policy or '-'}",
        f"  files       {version.source}",
        f"  MLflow run  {version.run_id or '-'}",
        f"  registered  {_moment(version)} UTC",
        *(f"  {name:<11} {value}" for name, value in _measured(version).items()),
    ]
    if noted:
        lines.append(f"  {noted['verdict']}: {noted['why']} (against the {noted['incumbent_is']})")
        lines += [f"    {'passed' if c['passed'] else 'FAILED'}  {c['reason']}" for c in noted["checks"]]
    return "\n".join(lines)


def card(models: Models, version: Version) -> str:
    """The model card kept with ``version``; raises PolyEpoError when there is none."""
    return kept_text(models, version, CARD)


def lineage(models: Models, version: Version) -> str:
    """Back to data, code, environment and parameters; forward to every evaluation that is known."""
    document = json.loads(kept_text(models, version, LINEAGE))
    names = [EVIDENCE, *models.kept_names(version, "sets")]
    evaluations = []
    for name in names:
        text = models.kept(version, name)
        if text is not None:
            label = "the gate's test set" if name == EVIDENCE else name.removeprefix("sets/").removesuffix(".json")
            evaluations.append(_evaluation(label, Evidence.from_json(text)))
    evaluations += [
        f"MLflow run {run_id}: {name}" for run_id, name in models.store.evaluation_runs(version.policy).items()
    ]
    evaluations += [str(path.parent) for path in sorted(_EVALUATIONS.glob(f"*/{version.policy[:20]}/{MANIFEST_NAME}"))]
    return lineage_text(f"{models.name} version {version.number}{_aliases(version)}", document, evaluations)


def _evaluation(label: str, evidence: Evidence) -> str:
    return f"{label}: {len(evidence.problems)} problems x {evidence.samples} samples, data {evidence.dataset}"


def kept_text(models: Models, version: Version, file: str) -> str:
    """A file kept with ``version``; raises PolyEpoError when there is none."""
    text = models.kept(version, file)
    if text is None:
        raise PolyEpoError(
            f"version {version.number} has no {file}: it was made by hand, or its files are gone",
            where=version.source,
            remedy="register the policy again: `python -m components.registry register`",
        )
    return text


def _row(version: Version) -> list[str]:
    measured, data = _measured(version), _summary(version).get("data", "")
    return [
        str(version.number),
        ", ".join(version.aliases) or "-",
        version.policy[:12] or "-",
        *(measured.get(name, "-") for name in _SHOWN),
        data[:12] or "-",
        version.tags.get(VERDICT_TAG, "-"),
        _moment(version),
    ]


def _measured(version: Version) -> dict[str, str]:
    metrics = _summary(version).get("metrics", {})
    return {name: f"{value:.3f} [{low:.3f}, {high:.3f}]" for name, (value, low, high) in metrics.items()}


def _summary(version: Version) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(version.tags.get(SUMMARY_TAG, "{}"))
    return document


def _aliases(version: Version) -> str:
    return f" ({', '.join(version.aliases)})" if version.aliases else ""


def _moment(version: Version) -> str:
    return datetime.fromtimestamp(version.created / 1000, UTC).strftime("%Y-%m-%d %H:%M")
