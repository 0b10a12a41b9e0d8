"""Moving the aliases: promote, roll back, list. Every move is an entry of the ledger first."""

from __future__ import annotations

from components.errors import PolyEpoError
from components.params import Params
from components.registry.ledger import Ledger, Move
from components.registry.params import RegistryParams
from components.registry.store import CHALLENGER, CHAMPION, PREVIOUS, Models, Version, open_models
from components.tracking.params import TrackingParams

__all__ = ["check_not_retired", "list_versions", "open_registry", "promote", "rollback", "settle"]

_NOBODY = Version(0, "", "")


def open_registry(params: Params) -> Models:
    """The registered model of ``params``.

    Raises:
        TrackingUnavailable: MLflow cannot be reached.
    """
    return open_models(params[TrackingParams], params[RegistryParams].model)


def list_versions(params: Params) -> list[Version]:
    """All versions of the registered model, oldest first."""
    return open_registry(params).versions()


def promote(params: Params, version: int | str) -> Version:
    """Make ``version`` (a number or an alias) champion by hand, whatever the gate says.

    Raises:
        PolyEpoError: there is no such version, it is being removed, or another promotion came first.
        TrackingUnavailable: MLflow cannot be reached.
    """
    models = open_registry(params)
    ledger = Ledger(models.store, models.name)
    length = settle(models, ledger)
    chosen, old = models.get(version), models.with_alias(CHAMPION)
    check_not_retired(ledger, chosen)
    move = Move("hand", chosen.number, old.number if old and old.number != chosen.number else 0)
    return _moved(models, ledger, move, length)


def rollback(params: Params) -> Version:
    """Make the previous champion champion again.

    Raises:
        PolyEpoError: there is no previous champion, it is champion already, or another promotion came first.
        TrackingUnavailable: MLflow cannot be reached.
    """
    models = open_registry(params)
    ledger = Ledger(models.store, models.name)
    length = settle(models, ledger)
    previous = models.with_alias(PREVIOUS)
    if previous is None or CHAMPION in previous.aliases:
        raise PolyEpoError(
            "there is no earlier champion to roll back to",
            where="registry",
            remedy="`poly-epo models list` shows the versions; `poly-epo models promote VERSION` sets any of them",
        )
    return _moved(models, ledger, Move("rollback", previous.number), length)


def settle(models: Models, ledger: Ledger) -> int:
    """Set the aliases as the ledger's last move says, if a killed process left that undone; the ledger's length.

    ``previous`` moves first: a death in between leaves the old champion in place, and the next call goes on.
    """

    def project(move: Move) -> None:
        existing = {version.number: version for version in models.versions()}
        if move.previous in existing:
            models.move(PREVIOUS, existing[move.previous])
        if move.champion in existing:  # else it was deleted by hand: no move is left to finish
            models.move(CHAMPION, existing[move.champion])
        if CHALLENGER in existing.get(move.champion, _NOBODY).aliases:
            models.drop(CHALLENGER)

    return ledger.settle(project)


def check_not_retired(ledger: Ledger, version: Version) -> None:
    """Raises: PolyEpoError: `prune` is removing ``version``."""
    if version.number in ledger.retired():
        raise PolyEpoError(
            "this version is being removed by `poly-epo prune`",
            where="registry",
            value=version.number,
            remedy="finish it by repeating the prune, then register the policy again",
        )


def _moved(models: Models, ledger: Ledger, move: Move, length: int) -> Version:
    if not ledger.append(move, length):
        raise PolyEpoError(
            "another promotion came first; nothing was changed by this one",
            where="registry",
            remedy="look at `poly-epo models list` and repeat the command if it is still wanted",
        )
    settle(models, ledger)
    return models.get(move.champion)
