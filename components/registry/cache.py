"""Which objects of DVC's local cache nothing refers to any more. No MLflow, no DVC import: it reads their files.

`dvc gc --workspace` keeps what the present dvc.lock names and removes the rest, also what older versions of the
registered model need to be traced back. Here the dvc.lock kept with each such version counts, too, and so do the
dvc.lock of every branch and tag and every .dvc file of the checkout.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from components.errors import PolyEpoError
from components.manifest import MANIFEST_NAME, Manifest, read_manifest
from components.registry.lineage import DVC_LOCK

__all__ = ["CacheObject", "locked_policies", "locks_of_checkout", "unused_objects"]

_DIRECTORY = ".dir"


@dataclass(frozen=True)
class CacheObject:
    """One file of the cache and its size in bytes."""

    path: Path
    size: int


def locks_of_checkout(root: Path) -> list[str]:
    """The text of every dvc.lock and .dvc file that the checkout, its branches and its tags hold."""
    files = [root / DVC_LOCK, *(path for path in root.glob("**/*.dvc") if path.is_file())]
    texts = [path.read_text(encoding="utf-8") for path in files if path.is_file()]
    references = _git(root, "for-each-ref", "--format=%(objectname)", "refs/heads", "refs/remotes", "refs/tags")
    for commit in sorted({"HEAD", *references.split()}):
        texts.append(_git(root, "show", f"{commit}:{DVC_LOCK}"))
    return [text for text in texts if text]


def unused_objects(cache: Path, locks: Iterable[str], *, grace_seconds: float) -> list[CacheObject]:
    """Objects below ``cache`` (``.dvc/cache``) that no text of ``locks`` refers to.

    Args:
        cache: DVC's local cache.
        locks: texts of dvc.lock and .dvc files.
        grace_seconds: younger objects are left alone: a stage being committed writes its objects before dvc.lock.

    Raises:
        PolyEpoError: a text is not YAML: then nobody knows what it refers to.
    """
    store = cache / "files" / "md5"
    used = _with_members(store, _hashes(locks))
    newest = time.time() - grace_seconds
    found = []
    for path in sorted(store.glob("[0-9a-f][0-9a-f]/*")):
        status = path.stat()
        if path.parent.name + path.name not in used and status.st_ctime <= newest:
            found.append(CacheObject(path, status.st_size))
    return found


def locked_policies(root: Path, cache: Path, locks: Iterable[str]) -> set[str]:
    """Digests of the policy directories that ``locks`` refer to, as far as cache or checkout hold their manifests."""
    store, texts = cache / "files" / "md5", list(locks)
    digests = set()
    for name in _hashes(texts):
        members = _members(store, name)
        policies = {str(Path(path).parent) for path in members if Path(path).name == "config.json"}
        for path, member in members.items():
            if Path(path).name == MANIFEST_NAME and str(Path(path).parent) in policies:
                digests.add(_digest(_object(store, member)))
    for text in texts:
        for entry in _outputs(text):
            for directory in {root / str(entry["path"]), root / str(entry["path"]) / "final"}:
                manifest = read_manifest(directory)
                if manifest is not None:
                    digests.add(manifest.digest)
    return digests - {""}


def _hashes(locks: Iterable[str]) -> set[str]:
    return {str(entry["md5"]) for text in locks for entry in _outputs(text) if "md5" in entry}


def _outputs(text: str) -> Iterator[dict[str, Any]]:
    """Outputs and dependencies of every stage of a dvc.lock, or of a .dvc file."""
    try:
        document = yaml.safe_load(text)
        stages = [document, *(document.get("stages") or {}).values()]
        entries = [entry for stage in stages for part in ("outs", "deps") for entry in stage.get(part) or []]
    except (yaml.YAMLError, AttributeError) as error:
        raise PolyEpoError(
            f"unreadable {DVC_LOCK}: {error}", where="prune", remedy="mend it, or prune with --no-cache"
        ) from error
    yield from (entry for entry in entries if isinstance(entry, dict) and "path" in entry)


def _with_members(store: Path, names: set[str]) -> set[str]:
    return names | {member for name in names for member in _members(store, name).values()}


def _members(store: Path, name: str) -> dict[str, str]:
    """Path -> hash of the files of the directory object ``name``; empty for a file, or when it is not cached."""
    path = _object(store, name)
    if not name.endswith(_DIRECTORY) or not path.is_file():
        return {}
    return {entry["relpath"]: entry["md5"] for entry in json.loads(path.read_text(encoding="utf-8"))}


def _object(store: Path, name: str) -> Path:
    return store / name[:2] / name[2:]


def _digest(path: Path) -> str:
    if not path.is_file():
        return ""
    document = json.loads(path.read_text(encoding="utf-8"))
    return Manifest(document["fingerprint"], document["files"], document["facts"]).digest


def _git(root: Path, *command: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(root), *command], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""  # a checkout without git has no other branches
    return done.stdout if done.returncode == 0 else ""
