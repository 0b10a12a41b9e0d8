"""Reading the registry without changing it: versions with aliases, decisions, cards and lineage, for pages."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from components.registry.card import CARD
from components.registry.judge import DECISION_TAG, VERDICT_TAG
from components.registry.lineage import LINEAGE
from components.registry.store import Models, Version
from components.tracking.client import Store, translated

__all__ = ["VersionPage", "read_version", "read_versions"]


@dataclass(frozen=True)
class VersionPage:
    """What is kept with a version.

    Attributes:
        version: number, aliases, policy, source, tags.
        verdict: of the gate; "" when it was never asked.
        decision: the gate's decision as JSON-like values (see `gate.Decision`); empty when there is none.
        card: Markdown; "" when there is none.
        lineage: see `gather_lineage`; empty when there is none.
    """

    version: Version
    verdict: str
    decision: dict[str, Any]
    card: str
    lineage: dict[str, Any]


def read_versions(store: Store, name: str) -> list[Version]:
    """The versions of the registered model ``name``, oldest first; none when the model does not exist.

    Raises:
        TrackingUnavailable: MLflow fails.
    """
    with translated(store.uri):
        if not store.client.search_registered_models(f"name = '{name}'"):
            return []
    return Models(store, name).versions()


def read_version(store: Store, name: str, version: Version) -> VersionPage:
    """Everything that is kept with ``version``.

    Raises:
        TrackingUnavailable: MLflow fails.
    """
    models = Models(store, name)
    noted = _object(version.tags.get(DECISION_TAG))
    decision = noted.get("decision")
    return VersionPage(
        version,
        verdict=version.tags.get(VERDICT_TAG, ""),
        decision=decision if isinstance(decision, dict) else {},
        card=models.kept(version, CARD) or "",
        lineage=_object(models.kept(version, LINEAGE)),
    )


def _object(text: str | None) -> dict[str, Any]:
    """A JSON object; what is none, because somebody changed it by hand, shows as nothing."""
    try:
        document = json.loads(text or "{}")
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
