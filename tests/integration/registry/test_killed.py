"""Registering dies before each of its writes: the champion stands, and a repeat completes."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

import pytest

from components.registry.aliases import list_versions
from components.registry.store import CHAMPION, PREVIOUS
from components.tracking.sync import sync
from tests.integration.registry.desk import Desk
from tests.unit.tracking import synthetic


class _Death(BaseException):
    """Stands for a kill."""


WRITES = [
    "create_run",
    "create_experiment",
    "log_param",
    "create_logged_model",
    "log_model_artifacts",
    "finalize_logged_model",
    "create_model_version",
    "update_model_version",
    "set_registered_model_alias",
    "delete_registered_model_alias",
    "set_model_version_tag",
]


def _register_dying(desk: Desk, monkeypatch, at: int) -> list[str]:
    """Register, dying before the ``at``-th write takes effect; returns the writes tried."""
    client, tried = desk.models.store.client, []

    def dying(name, real):
        def write(*args, **kwargs):
            tried.append(name)
            if len(tried) == at:
                raise _Death
            return real(*args, **kwargs)

        return write

    with monkeypatch.context() as patch:
        for name in WRITES:
            patch.setattr(client, name, dying(name, getattr(client, name)))
        with contextlib.suppress(_Death):
            desk.register()
    return tried


class _Snapshot:
    """The store's files and the workspace's decision, to begin each attempt from the same state."""

    def __init__(self, desk: Desk, store: Path) -> None:
        self.desk, self.store, self.copy = desk, store, desk.root / "snapshot"
        shutil.copytree(store, self.copy)

    def restore(self) -> None:
        # The database keeps its inode: MLflow's connections stay open.
        shutil.copyfile(self.copy / "mlflow.db", self.store / "mlflow.db")
        for name in ("mlartifacts", "tracking"):
            shutil.rmtree(self.store / name, ignore_errors=True)
            if (self.copy / name).exists():
                shutil.copytree(self.copy / name, self.store / name)
        shutil.rmtree(self.desk.workspace / "promotion", ignore_errors=True)


@pytest.mark.slow
@pytest.mark.parametrize("champion", [False, True], ids=["no champion yet", "a champion"])
def test_killed_at_every_write_the_champion_stands_and_a_repeat_completes(tmp_path, monkeypatch, champion):
    desk = Desk(tmp_path, synthetic.new_database(tmp_path / "state"))
    allowed = {None, 1}
    if champion:
        desk.candidate(0.5, "one")
        desk.register()
        desk.candidate(0.8, "two")
        allowed = {1, 2}
    else:
        desk.candidate(0.5, "one")
        _ = desk.models
    sync_tracking(desk)
    snapshot = _Snapshot(desk, tmp_path / "state")
    writes = _register_dying(desk, monkeypatch, 10**9)
    assert writes.count("log_param") == 2  # the move, and that the aliases follow it
    expected, document = desk.aliases(), desk.document()
    assert expected == ({CHAMPION: 2, PREVIOUS: 1} if champion else {CHAMPION: 1})
    for at in range(1, len(writes) + 1):
        snapshot.restore()
        assert len(_register_dying(desk, monkeypatch, at)) == at
        assert desk.aliases().get(CHAMPION) in allowed
        desk.register()
        assert desk.aliases() == expected
        assert desk.document() == document
        assert [version.number for version in list_versions(desk.params)] == sorted(allowed - {None})
        assert [move.champion for move in desk.ledger.moves()] == sorted(allowed - {None})


def sync_tracking(desk: Desk) -> None:
    """Send the runs beforehand, so that registering writes to the registry alone."""
    sync(desk.params, workspace=desk.workspace, reports=desk.root / "reports", state=desk.root / "state/tracking")
