"""Prefect's API as a person with curl uses it."""

from __future__ import annotations

import base64
import json
import time
import urllib.error
import urllib.request
from typing import Any

ENDED = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


_PATIENCE = 60.0
"""Seconds for which a server on SQLite may answer 503: its database is locked while another request writes."""


class PrefectApi:
    """Requests to the server at ``url``; like Prefect's own client it asks again after a 503.

    ``login``: NAME:PASSWORD, where the server asks for one.
    """

    def __init__(self, url: str, login: str = "") -> None:
        self._url, self._login = url, login

    def get(self, path: str) -> Any:
        return self._ask(path, None)

    def post(self, path: str, body: object) -> Any:
        return self._ask(path, body)

    def patch(self, path: str, body: object) -> None:
        self._ask(path, body, "PATCH")

    def delete(self, path: str) -> None:
        self._ask(path, None, "DELETE")

    def waiting(self, flow: str) -> list[dict[str, Any]]:
        """The flow's runs that have not begun."""
        states = {"state": {"type": {"any_": ["SCHEDULED", "PENDING"]}}}
        found = self.post("flow_runs/filter", {"flows": {"name": {"any_": [flow]}}, "flow_runs": states})
        return list(found)

    def runs(self, flow: str) -> list[dict[str, Any]]:
        """The flow's runs, oldest first, those that have begun or ended."""
        query = {"flows": {"name": {"any_": [flow]}}, "sort": "START_TIME_ASC"}
        return [run for run in self.post("flow_runs/filter", query) if run["start_time"]]

    def wait(self, run_id: str, limit_seconds: float) -> dict[str, Any]:
        """The flow run once it has ended."""
        deadline = time.monotonic() + limit_seconds
        while (run := self.get(f"flow_runs/{run_id}"))["state"]["type"] not in ENDED:
            assert time.monotonic() < deadline, run["state"]
            time.sleep(1)
        return run

    def start(self, deployment: str, parameters: dict[str, Any] | None = None) -> str:
        """Id of a new flow run of the deployment."""
        found = self.get(f"deployments/name/{deployment}")
        return str(self.post(f"deployments/{found['id']}/create_flow_run", {"parameters": parameters or {}})["id"])

    def _ask(self, path: str, body: object, method: str | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self._url}/{path}", data=data, method=method)
        request.add_header("Content-Type", "application/json")
        if self._login:
            request.add_header("Authorization", f"Basic {base64.b64encode(self._login.encode()).decode()}")
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    text = answer.read()
                return json.loads(text) if text else None
            except urllib.error.HTTPError as error:
                if error.code != 503 or time.monotonic() > deadline:
                    raise
                time.sleep(0.5)
