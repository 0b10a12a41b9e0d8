"""A team's back ends together: Postgres under Prefect and MLflow, S3 under MLflow's artifacts and DVC's remote."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.services.mlflow import Mlflow
from tests.services.postgres import Postgres
from tests.services.prefect import Prefect
from tests.services.s3 import S3

BUCKETS = ("mlflow", "dvc-remote")


@dataclass(frozen=True)
class Stack:
    """The running servers."""

    postgres: Postgres
    s3: S3
    prefect: Prefect
    mlflow: Mlflow

    def environment(self) -> dict[str, str]:
        """What a run needs to be told to use them."""
        return {**self.s3.environment(), **self.prefect.environment(), **self.mlflow.environment()}


@contextmanager
def running(directory: Path, **prefect_settings: str) -> Iterator[Stack]:
    """Start everything below ``directory``, and end it with the block.

    Raises:
        Missing: a server is not installed.
    """
    with ExitStack() as ending:
        postgres, s3 = Postgres(directory / "postgres"), S3(directory / "s3")
        ending.callback(postgres.start().stop)
        s3.start()
        ending.callback(s3.stop)
        for name in ("prefect", "mlflow", "mlflow_users"):
            postgres.database(name)
        for bucket in BUCKETS:
            s3.bucket(bucket)
        prefect = Prefect(directory / "prefect", postgres.url("asyncpg", "prefect"), **prefect_settings)
        databases = [postgres.url("psycopg2", name) for name in ("mlflow", "mlflow_users")]
        mlflow = Mlflow(directory / "mlflow", *databases, "s3://mlflow", s3.environment())
        for server in (prefect, mlflow):
            ending.callback(server.stop)
            server.start(wait=False)
        prefect.wait()
        mlflow.wait()
        yield Stack(postgres, s3, prefect, mlflow)
