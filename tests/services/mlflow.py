"""`mlflow server` as a team runs it: a database, artifacts in a store of their own, and no access without a login."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from tests.services.http import status
from tests.services.process import Server, clean_environment, free_ports

LOGIN = ("trainer", "not-a-secret-either")


class Mlflow(Server):
    """The server on a free port; ``url`` is its address.

    Args:
        directory: for its log and its configuration.
        database: SQLAlchemy's address of its database; users are kept in ``users``.
        artifacts: where it puts artifacts, e.g. ``s3://mlflow``.
        store: environment variables it reaches that place with.
    """

    def __init__(self, directory: Path, database: str, users: str, artifacts: str, store: Mapping[str, str]) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.port = free_ports(1)[0]
        self.url = f"http://127.0.0.1:{self.port}"
        config = directory / "auth.ini"
        config.write_text(
            "[mlflow]\ndefault_permission = NO_PERMISSIONS\n"
            # Hashing a password takes a good part of a second: once a minute for each login, not once a request.
            "auth_cache_ttl_seconds = 60\n"
            f"database_uri = {users}\nadmin_username = {LOGIN[0]}\nadmin_password = {LOGIN[1]}\n"
            "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
        )
        command = [sys.executable, "-m", "mlflow", "server", "--app-name", "basic-auth", "--workers", "1"]
        command += ["--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--backend-store-uri", database, "--artifacts-destination", artifacts]
        super().__init__(
            command,
            log=directory / "mlflow.log",
            answers=lambda: status(f"{self.url}/health") == 200,
            environment=clean_environment(
                MLFLOW_AUTH_CONFIG_PATH=str(config),
                MLFLOW_FLASK_SERVER_SECRET_KEY="a-key-for-tests",
                MLFLOW_DISABLE_TELEMETRY="true",
                **store,
            ),
        )

    def environment(self) -> dict[str, str]:
        """What clients need to be told."""
        return {
            "MLFLOW_TRACKING_URI": self.url,
            "MLFLOW_TRACKING_USERNAME": LOGIN[0],
            "MLFLOW_TRACKING_PASSWORD": LOGIN[1],
        }
