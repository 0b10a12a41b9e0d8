"""Who a retrain is: the key that makes replays land in the same MLflow runs, and the tags of its provenance."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path
from typing import Any

from components.improve.params import ArmsParams
from components.improve.settings import ArmSettings
from components.manifest import fingerprint, read_manifest
from components.params import Params

__all__ = ["arm_origin", "flat_params", "provenance_tags", "run_key"]

# Where a run is recorded and what is promoted do not change what was trained; the address could also hold a secret.
_NOT_IDENTITY = ("tracking", "registry", "runner")


def run_key(params: Params, workspace: Path) -> str | None:
    """Identity (hex sha256) of the retrain in ``workspace``; None until its data and base policy are published."""
    data = read_manifest(workspace / "data")
    base = read_manifest(workspace / "base")
    if data is None or base is None:
        return None
    return fingerprint(_identity_params(params), data.digest, base.digest)


def arm_origin(params: Params, arm: str, workspace: Path) -> str | None:
    """What `components.improve` writes to the arm's origin.json when it works for these params, base and data.

    An arm directory with another origin is a former retrain's, not yet replaced: it is not this run's. None when
    the params name no such arm.
    """

    base, data = read_manifest(workspace / "base"), read_manifest(workspace / "data")
    if arm not in params[ArmsParams].root or base is None or data is None:
        return None
    return fingerprint(ArmSettings.of(params, arm).identity(), base.digest, data.digest)


def flat_params(params: Params) -> dict[str, str]:
    """All parameters that shape the result as ``section.key.sub -> text``."""
    return {key: str(value) for key, value in _flatten("", _identity_params(params)).items()}


def provenance_tags(params: Params) -> dict[str, str]:
    """Tags of the checkout: params hash, dvc.lock hash, git commit, image digest; what is absent is left out."""
    tags = {"params_hash": fingerprint(_identity_params(params))[:16]}
    lock = Path("dvc.lock")
    if lock.is_file():
        tags["dvc_lock_hash"] = hashlib.sha256(lock.read_bytes()).hexdigest()[:16]
    commit = _git_commit()
    if commit:
        tags["git_commit"] = commit
    image = os.environ.get("POLY_EPO_IMAGE_DIGEST", "")
    if image:
        tags["image_digest"] = image
    return tags


def _identity_params(params: Params) -> dict[str, Any]:
    return {name: values for name, values in params.as_dict().items() if name not in _NOT_IDENTITY}


def _flatten(prefix: str, value: object) -> dict[str, object]:
    if not isinstance(value, dict) or not value:
        return {prefix: value}
    flat: dict[str, object] = {}
    for key, item in value.items():
        flat |= _flatten(f"{prefix}.{key}" if prefix else str(key), item)
    return flat


def _git_commit() -> str | None:
    try:
        result = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5, check=False)
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return None  # git is optional: without it the run has no commit tag
    return result.stdout.strip() if result.returncode == 0 else None
