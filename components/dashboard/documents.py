"""Reading single files of a workspace for show: cached, and a damaged one is told, not fatal."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import yaml

from components.dashboard.cache import Cache, stamp_of
from components.errors import PolyEpoError
from components.manifest import MANIFEST_NAME, Manifest, read_manifest

__all__ = ["Documents", "read_object"]

T = TypeVar("T")


class Documents:
    """JSON, YAML and manifests by path; every method raises PolyEpoError for a damaged file only."""

    def __init__(self, size: int = 40_000) -> None:
        self._cache = Cache(size)

    def manifest(self, directory: Path) -> Manifest | None:
        """The manifest of a published directory, its files' sizes checked when it is first seen; None: not there."""
        path = directory / MANIFEST_NAME
        stamp = stamp_of(path)
        return None if stamp is None else self._cache.get(path, stamp, lambda: read_manifest(directory))

    def json(self, path: Path) -> dict[str, Any]:
        """A JSON object; empty when there is no such file."""
        stamp = stamp_of(path)
        return {} if stamp is None else self._cache.get(path, stamp, lambda: read_object(path))

    def objects(self, path: Path) -> list[dict[str, Any]]:
        """A JSON list of objects, or the one object that the file holds; empty when there is no such file."""
        stamp = stamp_of(path)
        return [] if stamp is None else self._cache.get((path, "list"), stamp, lambda: _objects(path))

    def params(self, path: Path) -> dict[str, str]:
        """params.yaml as ``section.key -> text``, without the sections that shape no result; empty when missing.

        The file is read as plain data: an objective that it names by import path is not imported for being shown.
        """
        stamp = stamp_of(path)
        return {} if stamp is None else self._cache.get((path, "flat"), stamp, lambda: _flat_params(_yaml(path)))

    def raw_params(self, path: Path) -> dict[str, Any]:
        """params.yaml as it stands; empty when missing."""
        stamp = stamp_of(path)
        return {} if stamp is None else self._cache.get((path, "raw"), stamp, lambda: _yaml(path))

    def lines(self, path: Path) -> list[dict[str, Any]]:
        """The JSON objects of a file of JSON lines; a line cut off by a kill is left out."""
        stamp = stamp_of(path)
        return [] if stamp is None else self._cache.get(path, stamp, lambda: _json_lines(path))

    def once(self, directory: Path, parts: tuple[Path, ...], read: Callable[[Path], T]) -> T:
        """What ``read`` makes of ``directory``, kept until one of its published ``parts`` is another one."""
        stamps = tuple(stamp_of(part) for part in parts)
        if stamps[0] is None:
            return read(directory)  # under way: what is in it still grows
        return self._cache.get((directory, "once"), stamps, lambda: read(directory))

    def numbers(self, directory: Path) -> list[int]:
        """The numbered directories in ``directory``, sorted; kept until one is added or removed."""
        stamp = stamp_of(directory)
        return [] if stamp is None else self._cache.get((directory, "numbers"), stamp, lambda: _numbers(directory))


def read_object(path: Path) -> dict[str, Any]:
    """A JSON object; empty when there is no such file.

    Raises:
        PolyEpoError: it is damaged.
    """
    document = _loaded(path)
    if not isinstance(document, dict):
        raise PolyEpoError("not a JSON object", where=str(path), remedy="remove it and run its stage again")
    return document


def _objects(path: Path) -> list[dict[str, Any]]:
    document = _loaded(path)
    entries = document if isinstance(document, list) else [document]
    return [entry for entry in entries if isinstance(entry, dict)]


def _loaded(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}  # replaced this very moment
    except (OSError, ValueError, RecursionError) as error:
        raise _damaged(path, error) from error


def _yaml(path: Path) -> dict[str, Any]:
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise _damaged(path, error) from error
    return document if isinstance(document, dict) else {}


def _json_lines(path: Path) -> list[dict[str, Any]]:
    found = []
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise _damaged(path, error) from error
    for line in text.splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue  # being written, or cut by a kill: timings are a courtesy
        if isinstance(entry, dict):
            found.append(entry)
    return found


def _numbers(directory: Path) -> list[int]:
    try:
        return sorted(int(path.name) for path in directory.iterdir() if path.name.isdigit())
    except OSError as error:
        raise _damaged(directory, error) from error


def _flat_params(document: dict[str, Any]) -> dict[str, str]:
    shown = {name: values for name, values in document.items() if name not in ("tracking", "registry")}
    return _flatten("", shown)


def _flatten(prefix: str, value: object) -> dict[str, str]:
    if not isinstance(value, dict) or not value:
        return {prefix: str(value)}
    flat: dict[str, str] = {}
    for key, item in value.items():
        flat |= _flatten(f"{prefix}.{key}" if prefix else str(key), item)
    return flat


def _damaged(path: Path, error: Exception) -> PolyEpoError:
    first = (str(error).splitlines() or [type(error).__name__])[0]
    return PolyEpoError(f"cannot be read: {first}", where=str(path), remedy="remove it and run its stage again")
