"""/models: the registry. /models/N: one version with its decision, card and lineage."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from components.dashboard.runs import Run
from components.dashboard.site import Site

__all__ = ["page", "version"]


def page(site: Site, request: Request) -> Response:
    """All versions, newest first, and how to move the aliases."""
    runs, known = site.runs()
    owners = {run.policy: run for run in runs if run.policy}
    return site.page(request, "models.html", title="Models", known=known, owners=owners, undecided=_decisions(runs))


def version(site: Site, request: Request) -> Response:
    """One version."""
    runs, known = site.runs()
    asked = request.path_params["number"]
    found = next((entry for entry in known.versions if str(entry.version.number) == asked), None)
    if found is None:
        exists = [(f"/models/{entry.version.number}", f"Version {entry.version.number}") for entry in known.versions]
        return site.unknown(request, f"There is no version {asked[:50]!r}.", exists)
    owner = next((run for run in runs if run.policy == found.version.policy and run.policy), None)
    return site.page(
        request, "version.html", title=f"Version {asked}", known=known, entry=found, owner=owner, checks=_checks(found)
    )


def _checks(entry: object) -> list[dict[str, object]]:
    decision = getattr(entry, "decision", {})
    checks = decision.get("checks", [])
    return [check for check in checks if isinstance(check, dict)] if isinstance(checks, list) else []


def _decisions(runs: list[Run]) -> list[Run]:
    """Runs whose workspace holds a decision: what is known when MLflow is down."""
    return [run for run in runs if run.decision]
