"""What a flow tells the outside: events on the Prefect server, which its automations hand on (flows/automations.py).

A flow knows no webhook's address: the server holds it, and calls it.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from prefect.context import FlowRunContext
from prefect.events import emit_event

__all__ = ["EVENTS", "News", "tell"]

EVENTS = "poly-epo."
"""Every event's name begins with this."""


class News(StrEnum):
    """What can be told."""

    PROMOTED = "promoted"
    REFUSED = "refused"
    UNCHANGED = "unchanged"
    ROLLED_BACK = "rolled-back"
    NOTHING_NEW = "nothing-new"


def tell(root: Path, news: News, text: str) -> None:
    """Emit one event about the project at ``root``; ``text`` is what people read."""
    context = FlowRunContext.get()
    run = context.flow_run if context is not None else None
    related = (
        [{"prefect.resource.id": f"prefect.flow-run.{run.id}", "prefect.resource.role": "flow-run"}] if run else []
    )
    emit_event(
        event=f"{EVENTS}{news.value}",
        resource={"prefect.resource.id": f"poly-epo.project.{root.resolve().name}"},
        related=related,
        payload={"text": text},
    )
