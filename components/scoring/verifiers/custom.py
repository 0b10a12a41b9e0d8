"""Verifiers of your own, named by import path: ``scoring.verifier: package.module:function``.

    def verify(problem: Problem, completion: str) -> Verdict | float | bool: ...

They run in a child process with the limits of params ``scoring``. docs/scoring.md has a worked example.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from typing import Any

from components.domains import Verdict
from components.errors import PolyEpoError
from components.scoring.answers import answer_tag, normalise
from components.scoring.verifiers.base import Item, Verifier

__all__ = ["load_custom"]


def load_custom(path: str) -> Verifier:
    """The verifier at ``package.module:function``.

    Raises:
        PolyEpoError: the module cannot be imported or holds no such function.
    """
    module_name, _, name = path.partition(":")
    try:
        function = getattr(importlib.import_module(module_name), name)
    except (ImportError, AttributeError) as error:
        raise PolyEpoError(
            f"cannot import the verifier: {error}",
            where="scoring.verifier",
            value=path,
            remedy="install its package into this environment and check the path package.module:function",
        ) from error
    if not callable(function):
        raise PolyEpoError("the verifier is not a function", where="scoring.verifier", value=path)
    return _wrap(function, path)


def _wrap(function: Callable[..., Any], path: str) -> Verifier:
    def verify(item: Item) -> Verdict:
        result = function(item.problem, item.completion)
        if not isinstance(result, Verdict):
            stated = answer_tag(item.completion)
            result = Verdict(None if stated is None else normalise(stated) or None, _number(result, path), None)
        reward = _number(result.reward, path)
        if not 0.0 <= reward <= 1.0:
            raise _fault(path, reward)
        return Verdict(result.parsed_answer, reward, result.strategy)

    return verify


def _number(value: object, path: str) -> float:
    if not isinstance(value, bool | int | float) or not math.isfinite(value):
        raise _fault(path, value)
    return float(value)


def _fault(path: str, value: object) -> PolyEpoError:
    return PolyEpoError(
        "the verifier must return a Verdict, or a reward in [0, 1]", where=f"scoring.verifier {path}", value=value
    )
