"""Where a version comes from: data, code, environment and parameters, gathered when it is registered."""

from __future__ import annotations

import hashlib
import platform
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from components.manifest import Manifest, read_manifest
from components.params import Params
from components.tracking.identity import provenance_tags

__all__ = ["DVC_LOCK", "LINEAGE", "gather_lineage", "lineage_text"]

LINEAGE, DVC_LOCK = "lineage.json", "dvc.lock"
_CONSTRAINTS = Path("constraints.txt")
_PACKAGES = ["torch", "transformers", "numpy", "pyarrow", "pydantic", "prefect", "mlflow", "dvc", "great-expectations"]


def gather_lineage(params: Params, workspace: Path, policy: str, run_id: str | None) -> dict[str, Any]:
    """Everything a version was made from, as a JSON-like document.

    Args:
        params: all parameters.
        workspace: holds ``data`` and ``base``.
        policy: digest of the version's policy directory.
        run_id: MLflow run of its arm, if known.
    """
    data, base = read_manifest(workspace / "data"), read_manifest(workspace / "base")
    return {
        "policy": policy,
        "run": run_id,
        "data": _data(data) if data else {},
        "base": base.digest if base else None,
        "code": {"git_commit": provenance_tags(params).get("git_commit"), "modified": _modified()},
        "dvc_lock": _sha256(Path(DVC_LOCK)),
        "environment": {
            "python": platform.python_version(),
            "constraints": _sha256(_CONSTRAINTS),
            "packages": {name: version for name in _PACKAGES if (version := _installed(name))},
        },
        "params": params.as_dict(),
    }


def lineage_text(version: str, document: Mapping[str, Any], evaluations: list[str]) -> str:
    """For the terminal: what the version was made from, then what it was evaluated on."""
    code, environment = document["code"], document["environment"]
    modified = " (with uncommitted changes)" if code["modified"] else ""
    splits = [f"    {name} {digest}" for name, digest in document["data"].get("splits", {}).items()]
    packages = ", ".join(f"{name} {number}" for name, number in environment["packages"].items())
    sections = [f"    {name}: {values}" for name, values in document["params"].items()]
    return "\n".join(
        [
            f"{version}",
            f"  policy       {document['policy']}",
            f"  base policy  {document['base'] or '-'}",
            f"  data         {document['data'].get('digest', '-')}",
            *splits,
            f"  code         git {code['git_commit'] or '-'}{modified}",
            f"  dvc.lock     {document['dvc_lock'] or '-'}",
            f"  environment  Python {environment['python']}, constraints.txt {environment['constraints'] or '-'}",
            f"    {packages}",
            f"  MLflow run   {document['run'] or '-'}",
            "  params",
            *sections,
            "  evaluations",
            *(f"    {line}" for line in evaluations or ["none known"]),
        ]
    )


def _data(manifest: Manifest) -> dict[str, Any]:
    return {"digest": manifest.digest, "splits": {name: entry["sha256"] for name, entry in manifest.files.items()}}


def _sha256(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None  # an optional part of the pipeline


def _modified() -> bool:
    """Whether tracked files differ from the commit; dvc.lock does while a run is under way and does not count."""
    command = ["git", "status", "--porcelain", "--untracked-files=no", "--", ".", f":(exclude){DVC_LOCK}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return False  # no git: there is no commit to differ from
    return done.returncode == 0 and bool(done.stdout.strip())
