"""A Prefect server on a database of one's own."""

from __future__ import annotations

import sys
from pathlib import Path

from flows.server import is_healthy
from flows.settings import prefect_server_env
from tests.services.process import Server, clean_environment, free_ports


class Prefect(Server):
    """The server on a free port with all its services; ``api_url`` is its address.

    Args:
        directory: for its log and its home.
        database: SQLAlchemy's address of its database.
    """

    def __init__(self, directory: Path, database: str, **settings: str) -> None:
        self.port = free_ports(1)[0]
        self.api_url = f"http://127.0.0.1:{self.port}/api"
        own = prefect_server_env(directory, self.port, schedules=True)
        factory = ["--factory", "prefect.server.api.server:create_app"]
        super().__init__(
            [sys.executable, "-m", "uvicorn", *factory, "--host", "127.0.0.1", "--port", str(self.port)],
            log=directory / "prefect.log",
            answers=lambda: is_healthy(self.api_url),
            environment=clean_environment(**own | settings | {"PREFECT_API_DATABASE_CONNECTION_URL": database}),
        )

    def environment(self) -> dict[str, str]:
        """What clients need to be told."""
        return {"PREFECT_API_URL": self.api_url}
