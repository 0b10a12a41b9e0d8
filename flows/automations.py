"""What a self-hosted Prefect server does by itself: find dead flow runs, and call the team's webhook.

Prefect's own server comes without either: a worker that is killed leaves its runs "Running" for ever, and nobody is
told. Both are automations, found by their name and updated in place, so that applying them again changes nothing.
"""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from prefect.blocks.webhook import Webhook
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import StateType
from prefect.events.actions import CallWebhook, ChangeFlowRunState
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification
from pydantic import SecretStr

from flows.notify import EVENTS, News
from flows.settings import HEARTBEAT_SECONDS

__all__ = ["BLOCK", "apply_automations"]

BLOCK = "poly-epo-webhook"
"""Name of the block in which the server keeps the webhook's address, encrypted."""

_RUN = "prefect.flow-run."
_ENDED = ["Completed", "Failed", "Cancelled", "Crashed", "Paused"]
_TOLD = [News.PROMOTED, News.REFUSED, News.UNCHANGED, News.ROLLED_BACK]


def apply_automations(client: SyncPrefectClient, webhook: str) -> list[str]:
    """Make or update the automations; their names.

    Args:
        client: of the server.
        webhook: address to POST ``{"text": ...}`` to; empty: nobody is told, and a webhook applied before goes.
    """
    wanted = [_crashed_runs()]
    if webhook:
        block = _save_webhook(webhook)
        wanted += [_failures(block), _news(block)]
    for name in {"poly-epo: failures", "poly-epo: news"} - {automation.name for automation in wanted}:
        for old in client.read_automations_by_name(name):
            client.delete_automation(old.id)
    for automation in wanted:
        found = client.read_automations_by_name(automation.name)
        if found:
            client.update_automation(found[0].id, automation)
        else:
            client.create_automation(automation)
    return [automation.name for automation in wanted]


def _crashed_runs() -> AutomationCore:
    """A flow run that gave a sign of life and then, three heartbeats long, neither another nor its end is dead."""
    return AutomationCore(
        name="poly-epo: crashed runs",
        description="A flow run without heartbeats is marked Crashed",
        trigger=EventTrigger(
            after={f"{_RUN}heartbeat"},
            expect={f"{_RUN}heartbeat", *(f"{_RUN}{state}" for state in _ENDED)},
            match=ResourceSpecification({"prefect.resource.id": [f"{_RUN}*"]}),
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=timedelta(seconds=3 * HEARTBEAT_SECONDS),
        ),
        actions=[
            ChangeFlowRunState(
                name=None, force=False, state=StateType.CRASHED, message="no heartbeat: its process has died"
            )
        ],
    )


def _failures(block: UUID) -> AutomationCore:
    return AutomationCore(
        name="poly-epo: failures",
        description="Flow runs of the project that failed or crashed are told",
        trigger=EventTrigger(
            expect={f"{_RUN}Failed", f"{_RUN}Crashed"},
            match=ResourceSpecification({"prefect.resource.id": [f"{_RUN}*"]}),
            match_related=ResourceSpecification(
                {"prefect.resource.id": ["prefect.tag.poly-epo"], "prefect.resource.role": "tag"}
            ),
            posture=Posture.Reactive,
            threshold=1,
        ),
        actions=[_call(block, '"flow run " ~ flow_run.name ~ " of " ~ flow.name ~ " ended as " ~ flow_run.state.name')],
    )


def _news(block: UUID) -> AutomationCore:
    return AutomationCore(
        name="poly-epo: news",
        description="Promotions, refusals and rollbacks are told",
        trigger=EventTrigger(
            expect={f"{EVENTS}{news.value}" for news in _TOLD},
            match=ResourceSpecification({"prefect.resource.id": ["poly-epo.project.*"]}),
            posture=Posture.Reactive,
            threshold=1,
        ),
        actions=[_call(block, 'event.resource["prefect.resource.id"] ~ ": " ~ event.payload.text')],
    )


def _call(block: UUID, text: str) -> CallWebhook:
    # tojson: a text with quotes or line breaks in it stays one JSON string.
    return CallWebhook(block_document_id=block, payload='{"text": {{ (' + text + ")|tojson }}}")


def _save_webhook(address: str) -> UUID:
    Webhook.register_type_and_schema()
    saved = Webhook(method="POST", url=SecretStr(address)).save(BLOCK, overwrite=True)
    return UUID(str(saved))
