"""Evaluations on other sets, for the gate's ceilings: found by the digest of the policy they measured.

A set is a directory with one published evaluation per model below it, and its ``problems.parquet`` unless it is one
of the named sets of ``poly-epo evaluate --set``:

    workspace/sets/champ/{base/, poly_epo/, champion/}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from components.manifest import MANIFEST_NAME
from components.registry.evidence import Evidence, evidence_of
from components.registry.gate import OtherSet
from components.registry.params import GateMargins

__all__ = ["TEST_SET", "challenger_sets", "kept_name", "measured_on_test", "with_incumbent"]

TEST_SET = "test"
"""Set of the champion's evaluations on a test split that has changed since it was registered."""


def challenger_sets(gate: GateMargins, sets: Path, policy: Path, digest: str, candidate: str) -> list[OtherSet]:
    """The sets that ``gate`` names, with the challenger's evaluations as far as they exist.

    Args:
        gate: names the sets and their ceilings.
        sets: directory that a set's name is looked up in.
        policy: the challenger's policy directory; ``digest`` is its identity.
        candidate: name of the challenger, for the command that makes a missing evaluation.
    """
    found = []
    for name, ceilings in sorted(gate.regressions.items()):
        evidence = _find(_directory(sets, name), digest)
        missing = "" if evidence else _missing("challenger", name, sets, str(policy), candidate)
        found.append(OtherSet(name, ceilings, challenger=evidence, missing=missing))
    return found


def with_incumbent(other: OtherSet, sets: Path, digest: str, kind: str, kept: Mapping[str, str]) -> OtherSet:
    """``other`` with the incumbent's evaluation: kept with its version, or found by its policy's ``digest``.

    Args:
        kind: ``champion`` or ``base``.
        kept: file name (see `kept_name`) -> evidence kept with the champion's version.
    """
    text = kept.get(kept_name(other.name))
    evidence = Evidence.from_json(text) if text else _find(_directory(sets, other.name), digest)
    if evidence is not None or other.missing:
        return replace(other, incumbent=evidence)
    if kind == "base":
        return replace(other, missing=_missing("base policy", other.name, sets, "workspace/base", "base"))
    return replace(other, missing=_missing("champion", other.name, sets, "champion", "champion"))


def measured_on_test(sets: Path) -> dict[str, Evidence]:
    """Policy digest -> its evaluation below ``workspace/sets/test``: other models than this run's on its problems."""
    found = [evidence_of(path.parent) for path in sorted((sets / TEST_SET).glob(f"*/{MANIFEST_NAME}"))]
    return {evidence.policy: evidence for evidence in found}


def kept_name(name: str) -> str:
    """File that a version keeps its evidence on the set ``name`` in."""
    return f"sets/{Path(name).name}.json"


def _directory(sets: Path, name: str) -> Path:
    """A bare name lies below ``sets``; anything else is a path."""
    return sets / name if len(Path(name).parts) == 1 else Path(name)


def _find(directory: Path, policy: str) -> Evidence | None:
    for manifest in sorted(directory.glob(f"*/{MANIFEST_NAME}")):
        evidence = evidence_of(manifest.parent)
        if evidence.policy == policy:
            return evidence
    return None


def _missing(who: str, name: str, sets: Path, model: str, out: str) -> str:
    directory = _directory(sets, name)
    own = directory / "problems.parquet"
    problems = f"--problems {own}" if own.is_file() else f"--set {Path(name).name}"
    return (
        f"the {who} has no evaluation on {name}: make it with `poly-epo evaluate {model} {problems} "
        f"--out {directory}/{out}`"
    )
