"""MLflow's SQLite database, made so that a kill cannot leave half of one.

MLflow makes a new database by running all its migrations, one after the other, in the file itself; killed in between,
it finds tables that it means to create the next time and never opens the file again. Here they run in a file of
another name, which is renamed when the schema is whole.
"""

from __future__ import annotations

import fcntl
from pathlib import Path

__all__ = ["make_database"]


def make_database(database: Path) -> None:
    """Make the empty tracking and registry database of the installed MLflow at ``database``, unless it is there.

    Processes that come at the same time make it once. A file that exists is never touched.

    Raises:
        MlflowException, SQLAlchemyError, OSError: it cannot be made here (no space, no permission).
    """
    if database.exists():
        return
    database.parent.mkdir(parents=True, exist_ok=True)
    with database.with_name(f".{database.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the kernel gives it back when its holder is killed
        if database.exists():
            return
        unfinished = database.with_name(f".{database.name}.new")
        for leftover in database.parent.glob(f"{unfinished.name}*"):  # the journal too
            leftover.unlink()
        _migrate(unfinished)
        unfinished.replace(database)


def _migrate(file: Path) -> None:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore  # noqa: PLC0415 - importing MLflow takes seconds

    artifacts = file.parent / "mlartifacts"  # of MLflow's own experiment "Default"
    store = SqlAlchemyStore(f"sqlite:///{file}", artifacts.as_uri())  # type: ignore[no-untyped-call]
    store.engine.dispose()  # nothing writes to the file any more
