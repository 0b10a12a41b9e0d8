"""The ledger of promotions: one order of moves for all processes."""

from __future__ import annotations

import pytest

from components.errors import PolyEpoError
from components.registry.ledger import Ledger, Move


def test_two_processes_that_make_the_ledger_agree_on_one(desk, monkeypatch):
    store, client = desk.models.store, desk.models.store.client
    real = client.get_experiment_by_name
    first = Ledger(store, "shared")
    answers = [None]  # the second looked before the first had made it
    monkeypatch.setattr(client, "get_experiment_by_name", lambda name: answers.pop() if answers else real(name))
    second = Ledger(store, "shared")
    assert not answers
    assert first.append(Move("hand", 1), 0)
    assert not second.append(Move("hand", 2), 0)
    assert second.append(Move("hand", 2), 1)
    assert [move.champion for move in first.moves()] == [1, 2]
    assert not first.append(Move("hand", 2), 1)  # an equal move of another process is not one's own


def test_a_late_process_cannot_leave_an_older_alias(desk):
    done = []
    ledger = Ledger(desk.models.store, "late")
    assert ledger.append(Move("hand", 1), 0)

    def project(move):
        if not done:  # a rival moves on while this process is about to set the alias
            assert ledger.append(Move("hand", 2), 1)
        done.append(move.champion)

    assert ledger.settle(project) == 2
    assert done == [1, 2]
    assert ledger.settle(project) == 2
    assert done == [1, 2]


def test_a_ledger_that_was_deleted_is_one_clear_line(desk):
    ledger = Ledger(desk.models.store, "gone")
    desk.models.store.client.delete_run(ledger._run_id)
    with pytest.raises(PolyEpoError, match="the ledger of promotions is gone"):
        Ledger(desk.models.store, "gone")
