"""The version of the data: what the source holds now against what ``workspace/data`` was made from.

A source outside the project (a file, a branch of a dataset) changes by itself. `newest` looks at it as it is now and
says what must be pinned in params.yaml so that DVC sees a new version; `is_made` whether that version is already made.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.data.params import DataParams, FileSource, HubSource
from components.data.source import open_source
from components.data.stage import data_fingerprint
from components.manifest import read_manifest

__all__ = ["DataVersion", "made_identity", "newest"]


@dataclass(frozen=True)
class DataVersion:
    """One version of the data.

    Attributes:
        fingerprint: what data made from it carry in their manifest.
        identity: of the source: file digest, commit, library version; {} where the parameters say it all.
        pin: keys of ``data.source`` that pin it; {} where nothing is to be pinned.
    """

    fingerprint: str
    identity: dict[str, Any]
    pin: dict[str, str]

    def is_made(self, data: Path) -> bool:
        """Whether the published directory ``data`` holds this version."""
        manifest = read_manifest(data)
        return manifest is not None and manifest.fingerprint == self.fingerprint


def newest(params: DataParams) -> DataVersion:
    """The version that the source holds now, whatever is pinned.

    Raises:
        PolyEpoError: the source cannot be read.
    """
    source = params.source
    if isinstance(source, FileSource):
        identity = open_source(source.model_copy(update={"sha256": None})).identity()
        return DataVersion(data_fingerprint(params, identity), identity, {"sha256": identity["input_sha256"]})
    if isinstance(source, HubSource) and source.follow is not None:
        identity = open_source(source.model_copy(update={"revision": source.follow})).identity()
        pinned = source.model_copy(update={"revision": identity["commit"]})
        newer = params.model_copy(update={"source": pinned})
        return DataVersion(data_fingerprint(newer, identity), identity, {"revision": identity["commit"]})
    identity = open_source(source).identity()
    return DataVersion(data_fingerprint(params, identity), identity, {})


def made_identity(data: Path) -> dict[str, Any]:
    """Facts that the published directory ``data`` states about its source; {} when there is none."""
    manifest = read_manifest(data)
    if manifest is None:
        return {}
    return {name: manifest.facts[name] for name in ("source", "input_sha256", "commit") if name in manifest.facts}
