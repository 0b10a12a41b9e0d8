"""Moving the aliases: promote, roll back, list. The order makes every moment a valid state."""

from __future__ import annotations

from components.errors import PolyEpoError
from components.params import Params
from components.registry.params import RegistryParams
from components.registry.store import CHALLENGER, CHAMPION, PREVIOUS, Models, Version, open_models
from components.tracking.params import TrackingParams

__all__ = ["crown", "list_versions", "promote", "rollback"]


def list_versions(params: Params) -> list[Version]:
    """All versions of the registered model, oldest first."""
    return _models(params).versions()


def promote(params: Params, number: int) -> Version:
    """Make version ``number`` champion by hand, whatever the gate says; the old champion becomes previous.

    Raises:
        PolyEpoError: there is no such version; MLflow cannot be reached.
    """
    models = _models(params)
    version = models.get(number)
    crown(models, version, models.with_alias(CHAMPION))
    return version


def rollback(params: Params) -> Version:
    """Make the previous champion champion again: one alias move.

    Raises:
        PolyEpoError: there is no previous champion, or it is champion already.
    """
    models = _models(params)
    previous = models.with_alias(PREVIOUS)
    if previous is None or CHAMPION in previous.aliases:
        raise PolyEpoError(
            "there is no earlier champion to roll back to",
            where="registry",
            remedy="`python -m components.registry list` shows the versions; `promote VERSION` sets any of them",
        )
    models.move(CHAMPION, previous)
    return previous


def crown(models: Models, version: Version, old: Version | None) -> None:
    """previous -> ``old``, then champion -> ``version``: a death in between leaves the old champion in place."""
    if old is not None and old.number != version.number:
        models.move(PREVIOUS, old)
    models.move(CHAMPION, version)
    challenger = models.with_alias(CHALLENGER)
    if challenger is not None and challenger.number == version.number:
        models.drop(CHALLENGER)


def _models(params: Params) -> Models:
    return open_models(params[TrackingParams], params[RegistryParams].model)
