"""Atomic publishing of directories: what has no complete manifest does not exist.

A stage writes its files into a temporary directory beside the target, every file is fsynced and hashed,
``manifest.json`` is written last, and one rename makes the whole directory visible. A process killed at any
moment leaves the old content, the new content or, for the instant between two renames, no manifest and so
nothing; a temporary directory left beside it is removed by the next run.

    with publish(workspace / "scored", fingerprint=fp) as directory:
        write_records(directory / "scored.parquet", table, SCORED_ROLLOUT)

The *fingerprint* says what the content was made from (parameters and the digests of the inputs). A directory
whose manifest carries another fingerprint is stale: the stage makes it again.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.errors import PolyEpoError

__all__ = [
    "MANIFEST_NAME",
    "Manifest",
    "fingerprint",
    "is_published",
    "publish",
    "read_manifest",
    "write_json",
]

MANIFEST_NAME = "manifest.json"
_FORMAT = 1


@dataclass(frozen=True)
class Manifest:
    """What a published directory holds.

    Attributes:
        fingerprint: hex sha256 of what the content was made from.
        files: relative POSIX path -> ``{"sha256": hex, "bytes": size}``.
        facts: row counts, versions and other facts the publisher states; deterministic, never a time stamp.
    """

    fingerprint: str
    files: dict[str, dict[str, Any]]
    facts: dict[str, Any]

    @property
    def digest(self) -> str:
        """Hex sha256 of the manifest itself: the identity of the whole directory's content."""
        return fingerprint(self.fingerprint, self.files, self.facts)


def fingerprint(*parts: object) -> str:
    """Hex sha256 of the canonical JSON of ``parts`` (any JSON-like values)."""
    canonical = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def write_json(path: Path, value: object) -> None:
    """Write ``value`` as JSON through a temporary name, fsync and rename: a reader sees the old or the new file."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n", encoding="utf-8")
    _fsync(temporary)
    temporary.replace(path)
    _fsync(path.parent)


@contextmanager
def publish(target: Path, *, fingerprint: str, facts: Mapping[str, Any] | None = None) -> Iterator[Path]:
    """Yield a temporary directory; when the block ends without an error, publish it as ``target``.

    ``facts`` may be a dict that the block goes on filling: it is read when the block has ended. An existing
    ``target`` (stale or complete) is replaced. If the block raises, nothing of it is left behind.
    """
    temporary = target.with_name(f".{target.name}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove(temporary)
        temporary.mkdir()
        yield temporary
        files = {
            path.relative_to(temporary).as_posix(): {"sha256": _sha256(path), "bytes": path.stat().st_size}
            for path in sorted(temporary.rglob("*"))
            if path.is_file()
        }
        document = {"format": _FORMAT, "fingerprint": fingerprint, "files": files, "facts": dict(facts or {})}
        for path in temporary.rglob("*"):
            _fsync(path)
        write_json(temporary / MANIFEST_NAME, document)
        # The old directory loses its manifest first, so that no moment shows a half-removed one as complete.
        (target / MANIFEST_NAME).unlink(missing_ok=True)
        _remove(target)
        temporary.rename(target)
        _fsync(target.parent)
    except OSError as error:
        raise PolyEpoError(
            f"could not publish: {error.strerror or error}",
            where=str(target),
            remedy="free disk space or mend the permissions, then run the same command again; it resumes",
        ) from error
    finally:
        _remove(temporary)  # nothing is there any more once it was renamed


def read_manifest(target: Path, *, verify: bool = False) -> Manifest | None:
    """The manifest of a published directory, or None where there is none (the directory then does not exist).

    With ``verify`` every file is hashed again.

    Raises:
        PolyEpoError: a file the manifest names is missing, has another size, or (``verify``) another hash.
    """
    path = target / MANIFEST_NAME
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        manifest = Manifest(document["fingerprint"], document["files"], document["facts"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise PolyEpoError(
            f"unreadable manifest: {error}", where=str(path), remedy=f"remove {target} and run the same command again"
        ) from error
    for name, entry in manifest.files.items():
        file = target / name
        damaged = (
            not file.is_file() or file.stat().st_size != entry["bytes"] or (verify and _sha256(file) != entry["sha256"])
        )
        if damaged:
            raise PolyEpoError(
                "file is missing or differs from its manifest",
                where=str(file),
                remedy=f"remove {target} and run the same command again; it is made anew",
            )
    return manifest


def is_published(target: Path, fingerprint: str) -> bool:
    """Whether ``target`` holds complete content made from exactly this ``fingerprint``."""
    manifest = read_manifest(target)
    return manifest is not None and manifest.fingerprint == fingerprint


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(directory: Path) -> None:
    if directory.exists():
        shutil.rmtree(directory)
