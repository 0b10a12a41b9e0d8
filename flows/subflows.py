"""Flow runs that Prefect shows below a task's run, made for another process to run."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from http import HTTPStatus
from typing import Any
from uuid import UUID

from prefect import Flow
from prefect.client.orchestration import get_client
from prefect.exceptions import PrefectHTTPStatusError

__all__ = ["create_subflow_run"]

_ATTEMPTS = 5
_WAIT_SECONDS = 1.0


def create_subflow_run(
    subflow: Flow[..., Any],
    *,
    name: str,
    parameters: Mapping[str, Any],
    parent: UUID | None,
    note: Callable[[str], None],
) -> UUID:
    """Make a flow run of ``subflow`` below the task run ``parent``; its id. ``note`` is told of a link that is missing.

    A server records task runs from events, a moment after they began, and refuses a parent that it has not recorded.
    One that lost its database may never record another until it is started again (seen with Prefect 3.8). So the parent
    is waited for, and after that the flow run stands by itself: a missing link is no reason to lose a run.

    Raises:
        PrefectHTTPStatusError: the server refused for another reason.
    """
    with get_client(sync_client=True) as client:
        create = partial(client.create_flow_run, subflow, name=name, parameters=dict(parameters))
        if parent is None:
            return create().id
        for _ in range(_ATTEMPTS):
            try:
                return create(parent_task_run_id=parent).id
            except PrefectHTTPStatusError as error:
                if error.response.status_code != HTTPStatus.CONFLICT:
                    raise
                time.sleep(_WAIT_SECONDS)
        note(f"{name}: the Prefect server records no task runs -> restart it; the run goes on, shown by itself")
        return create().id
