"""From a name in params.yaml to an objective: built in, from an installed package, or by import path.

get_objective("poly_epo", set_size=4)
get_objective("spread", set_size=4)                      # entry point in the group "poly_epo.objectives"
get_objective("my_package.objectives:Spread", set_size=4)
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points

from components.objectives.base import Objective
from components.objectives.errors import ObjectiveError
from components.objectives.grpo import Grpo
from components.objectives.grpo_div import GrpoDiv
from components.objectives.imports import load_attribute
from components.objectives.maxrl import MaxRl
from components.objectives.pass_at_n import PassAtN
from components.objectives.pkpo import Pkpo
from components.objectives.poly_epo import PolyEpo
from components.objectives.rloo import Rloo
from components.objectives.set_function import SetFunction

__all__ = ["ENTRY_POINT_GROUP", "get_objective", "known_objectives"]

ENTRY_POINT_GROUP = "poly_epo.objectives"

_BUILT_IN: dict[str, Callable[..., Objective]] = {
    "grpo": Grpo,
    "grpo_div": GrpoDiv,
    "maxrl": MaxRl,
    "pass_at_n": PassAtN,
    "pkpo": Pkpo,
    "poly_epo": PolyEpo,
    "rloo": Rloo,
    "set_function": SetFunction,
}


def get_objective(name: str, **params: object) -> Objective:
    """The objective called ``name`` with its parameters.

    Raises:
        ObjectiveError: no such objective (the error lists the known ones), or parameters it does not take.
    """
    factory = _find(name)
    _check_params(name, factory, params)
    objective = factory(**params)
    for method in ("advantages", "set_scores"):
        if not callable(getattr(objective, method, None)):
            raise ObjectiveError(
                f"has no method {method}()",
                where=f"objective {name!r}",
                value=type(objective).__name__,
                remedy="derive it from components.objectives.Objective",
            )
    return objective


def known_objectives() -> list[str]:
    """Names that need no import path: the built-in ones, then those of installed packages."""
    return [*_BUILT_IN, *sorted(set(_installed()) - set(_BUILT_IN))]


def _find(name: str) -> Callable[..., Objective]:
    if name in _BUILT_IN:
        return _BUILT_IN[name]
    installed = _installed()
    if name not in installed and ":" not in name:
        raise ObjectiveError(
            "unknown objective",
            value=name,
            remedy=f"known: {', '.join(known_objectives())}; or give an import path, package.module:Name",
        )
    found: object = installed[name].load() if name in installed else load_attribute(name)
    if not callable(found):
        raise ObjectiveError("is neither a class nor a function", where=f"objective {name!r}", value=found)
    return found


def _installed() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=ENTRY_POINT_GROUP)}


def _check_params(name: str, factory: Callable[..., Objective], params: dict[str, object]) -> None:
    try:
        signature = inspect.signature(factory)
    except ValueError:  # written in C and without a signature: it checks its own arguments
        return
    try:
        signature.bind(**params)
    except TypeError as error:
        takes = ", ".join(signature.parameters) or "none"
        raise ObjectiveError(str(error), where=f"objective {name!r}", remedy=f"its parameters: {takes}") from error
