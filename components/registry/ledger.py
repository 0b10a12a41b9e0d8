"""The order of promotions: a ledger in MLflow whose entries are written once and can never be overwritten.

Aliases in MLflow are last-write-wins, so two promotions at once could both win. Here every move of the champion is
first an entry ``move.00001``, ``move.00002``, ... of the ledger: a *parameter* of one MLflow run, and a parameter of
a run can be set once; the database's primary key decides who was first, over processes and hosts. A move names
the length of the ledger it was decided on; who comes second finds that place taken, reads again and judges anew.
The aliases follow the last entry. Whoever reads the ledger first finishes a move that a kill cut short.

Which run is the ledger is settled the same way, by creating an experiment of a unique name that carries the run's id.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from components.errors import PolyEpoError
from components.tracking.client import Store, translated

__all__ = ["Ledger", "Move"]

_RUN_TAG = "poly_epo.ledger"
_MOVE, _DONE = "move.", "done."
_BY = "by"  # makes equal moves of two processes differ


@dataclass(frozen=True)
class Move:
    """One entry.

    Attributes:
        kind: ``gate``, ``hand`` or ``rollback`` (the champion changes), or ``retire`` (versions are removed).
        champion: version that is champion from now on (0: no change of the champion).
        previous: version that was champion before (0: none).
        decision: fingerprint of the gate's request, for ``gate``.
        retired: versions that may not be promoted any more, for ``retire``.
    """

    kind: str
    champion: int = 0
    previous: int = 0
    decision: str = ""
    retired: list[int] = field(default_factory=list)


class Ledger:
    """The moves of one registered model. Every method raises TrackingUnavailable when MLflow fails."""

    def __init__(self, store: Store, model: str) -> None:
        self._store, self._model = store, model
        self._run_id = self._find_or_make()

    def moves(self) -> list[Move]:
        """All entries, oldest first."""
        return _moves(self._params())

    def append(self, move: Move, length: int) -> bool:
        """Write ``move`` as entry ``length`` + 1; False when another process has written that entry."""
        from mlflow.exceptions import MlflowException  # noqa: PLC0415 - importing MLflow takes seconds

        key = _key(_MOVE, length + 1)
        text = json.dumps(asdict(move) | {_BY: uuid.uuid4().hex}, sort_keys=True)
        with translated(self._store.uri):
            try:
                self._store.client.log_param(self._run_id, key, text)
            except MlflowException:
                if key not in self._params():
                    raise
        # Reading back tells who won, whatever the network lost.
        return self._params()[key] == text

    def settle(self, project: Callable[[Move], None]) -> int:
        """Let ``project`` bring the aliases in line with the last move of the champion, unless that was done.

        Repeated while the ledger grows: a slow process that set an older alias sets the newest one after it.

        Returns:
            Length of the ledger that the aliases agree with: what `append` asks for. Aliases read after this call
            are those of that length, or `append` fails.
        """
        while True:
            params = self._params()
            number, move = _last_champion(_moves(params))
            if not number or _key(_DONE, number) in params:
                return len(_moves(params))
            project(move)
            if _last_champion(self.moves())[0] == number:
                with translated(self._store.uri):
                    self._store.client.log_param(self._run_id, _key(_DONE, number), "yes")

    def retired(self) -> set[int]:
        """Versions that were retired."""
        return {number for move in self.moves() for number in move.retired}

    def _params(self) -> dict[str, str]:
        with translated(self._store.uri):
            return dict(self._store.client.get_run(self._run_id).data.params)

    def _find_or_make(self) -> str:
        client, name = self._store.client, f"{self._model} promotions"
        with translated(self._store.uri):
            anchor = client.get_experiment_by_name(name) or self._make(name)
        run_id = anchor.tags.get(_RUN_TAG)
        if run_id is None or not self._store.is_active(run_id):
            raise PolyEpoError(
                "the ledger of promotions is gone",
                where=f"MLflow experiment {name!r}",
                value=run_id,
                remedy="restore the run in MLflow, or rename the experiment to begin a new ledger",
            )
        return str(run_id)

    def _make(self, name: str) -> Any:
        """Create the experiment with the id of a new run; whoever comes second drops its own run."""
        from mlflow.exceptions import MlflowException  # noqa: PLC0415

        client = self._store.client
        now = time.time_ns() // 1_000_000
        run_id = self._store.create_run(name, {"poly_epo.kind": "ledger"}, now)
        self._store.finish(run_id, now)
        note = f"Names the run that holds the ledger of promotions of {self._model}. Do not delete."
        try:
            client.create_experiment(name, tags={_RUN_TAG: run_id, "mlflow.note.content": note})
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            client.delete_run(run_id)
        return client.get_experiment_by_name(name)


def _moves(params: Mapping[str, str]) -> list[Move]:
    documents = [json.loads(params[key]) for key in sorted(params) if key.startswith(_MOVE)]
    return [Move(**{name: value for name, value in document.items() if name != _BY}) for document in documents]


def _last_champion(moves: Sequence[Move]) -> tuple[int, Move]:
    """Number and content of the last entry that names a champion; (0, ...) when there is none."""
    numbered = [(number, move) for number, move in enumerate(moves, start=1) if move.champion]
    return numbered[-1] if numbered else (0, Move(""))


def _key(kind: str, number: int) -> str:
    return f"{kind}{number:05d}"
