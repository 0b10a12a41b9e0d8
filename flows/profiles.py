"""Profiles: overlays on params.yaml, merged into it with its comments kept."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, MutableMapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from components.errors import PolyEpoError
from components.params import Params, parse_params

__all__ = ["apply_profile", "params_with_profile", "profile_names", "set_values"]


def profile_names(directory: Path = Path("profiles")) -> list[str]:
    """Names of the profiles there are."""
    return sorted(path.stem for path in directory.glob("*.yaml"))


def apply_profile(name: str, params: Path = Path("params.yaml"), directory: Path = Path("profiles")) -> bool:
    """Put the values of profile ``name`` into the file ``params``; whether that changed it.

    Mappings are merged key by key, lists and single values replaced; comments and all other keys stay. The result is
    checked as a whole before anything is written, and written by one rename.

    Raises:
        PolyEpoError: there is no such profile, or the result is not valid; ``params`` is then as it was.
    """
    before = params.read_text(encoding="utf-8")
    return _replace(params, before, _merged(name, before, params, directory), f"{params} with profile {name}")


def set_values(values: Mapping[str, Any], params: Path = Path("params.yaml")) -> bool:
    """Put single values into the file ``params`` in the same way; whether that changed it.

    Raises:
        PolyEpoError: the result is not valid; ``params`` is then as it was.
    """
    before = params.read_text(encoding="utf-8")
    return _replace(params, before, _with(before, params, lambda _: values), f"{params} with new values")


def _replace(params: Path, before: str, after: str, where: str) -> bool:
    parse_params(YAML(typ="safe").load(after), where=where)
    if YAML(typ="safe").load(before) == YAML(typ="safe").load(after):
        return False
    temporary = params.with_name(f".{params.name}.tmp")
    temporary.write_text(after, encoding="utf-8")
    temporary.replace(params)
    return True


def params_with_profile(name: str, params: Path = Path("params.yaml"), directory: Path = Path("profiles")) -> Params:
    """The parameters that ``apply_profile`` would leave in ``params``; nothing is written.

    Raises:
        PolyEpoError: there is no such profile, or the result is not valid.
    """
    after = _merged(name, params.read_text(encoding="utf-8"), params, directory)
    return parse_params(YAML(typ="safe").load(after), where=f"{params} with profile {name}")


def _merged(name: str, before: str, params: Path, directory: Path) -> str:
    """The text of ``params`` with the profile's values in it."""
    path = directory / f"{name}.yaml"
    if name not in profile_names(directory):
        known = ", ".join(profile_names(directory)) or "none"
        raise PolyEpoError("no such profile", where=str(directory), value=name, remedy=f"known: {known}")
    return _with(before, params, lambda yaml: _load(yaml, path.read_text(encoding="utf-8"), path))


def _with(before: str, params: Path, overlay: Callable[[YAML], Mapping[str, Any]]) -> str:
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096
    document = _load(yaml, before, params)
    _merge(document, overlay(yaml))
    buffer = io.StringIO()
    yaml.dump(document, buffer)
    return buffer.getvalue()


def _load(yaml: YAML, text: str, path: Path) -> Any:
    try:
        document = yaml.load(text)
    except YAMLError as error:
        raise PolyEpoError(f"not valid YAML: {error}", where=str(path), remedy="mend the line it names") from error
    if not isinstance(document, MutableMapping):
        raise PolyEpoError("must be a mapping of sections", where=str(path), value=type(document).__name__)
    return document


# Keys that say what the rest of a mapping means: a profile that changes one replaces the whole mapping.
_DISCRIMINATORS = ("kind", "name")


def _merge(target: MutableMapping[str, Any], overlay: Mapping[str, Any]) -> None:
    for key, value in overlay.items():
        old = target.get(key)
        if isinstance(old, MutableMapping) and isinstance(value, Mapping) and not _another_kind(old, value):
            _merge(old, value)
        elif old != value:
            target[key] = value


def _another_kind(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    return any(key in old and key in new and old[key] != new[key] for key in _DISCRIMINATORS)
