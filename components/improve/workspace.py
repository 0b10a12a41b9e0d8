"""Where one arm's files lie, and how they hang together.

    iterations/000012/{rollouts,scored,gate,update,evaluation}/    each published atomically with its manifest
    policies/000012/    the policy that iteration 12 made (version 12); version 0 is the base
    trainer/000012/     the optimizer that belongs to it

Each step's fingerprint holds the digest of the step before it, back to the parameters and the base policy: a
file made from anything else is never taken for one of this run.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from components.errors import PolyEpoError
from components.manifest import MANIFEST_NAME, fingerprint, read_manifest, write_json

__all__ = ["ArmWorkspace", "Step", "StepName", "digest_of"]

StepName = Literal["rollout", "score", "gate", "update", "evaluate"]

_DIRECTORIES: dict[StepName, str] = {
    "rollout": "rollouts",
    "score": "scored",
    "gate": "gate",
    "update": "update",
    "evaluate": "evaluation",
}


@dataclass(frozen=True)
class Step:
    """One resumable piece of work: what is done, in which iteration (1-based; 0 is the base policy)."""

    iteration: int
    name: StepName

    def __str__(self) -> str:
        return f"{self.name}-{self.iteration:06d}"

    @property
    def reads_version(self) -> int:
        """The version of the policy that the step, or the next one that needs a policy, starts from."""
        return self.iteration if self.name == "evaluate" else self.iteration - 1


@dataclass(frozen=True)
class ArmWorkspace:
    """Paths of one arm.

    Attributes:
        root: the arm's directory.
        base: the policy of version 0.
        run: fingerprint of everything the run was made from (parameters, base policy, problems).
    """

    root: Path
    base: Path
    run: str

    def step(self, step: Step) -> Path:
        """The directory that ``step`` publishes."""
        return self.root / "iterations" / f"{step.iteration:06d}" / _DIRECTORIES[step.name]

    def policy(self, version: int) -> Path:
        """The policy directory of ``version``."""
        return self.base if version == 0 else self.root / "policies" / f"{version:06d}"

    def trainer(self, version: int) -> Path:
        """The optimizer's state that belongs to the policy of ``version`` (1 or more)."""
        return self.root / "trainer" / f"{version:06d}"

    @property
    def final(self) -> Path:
        """The policy at the end of the run."""
        return self.root / "final"

    def expected(self, step: Step) -> str:
        """The fingerprint ``step`` must have: a chain through the digest of the step it reads."""
        source = _source(step)
        before = self.run if source is None else digest_of(self.step(source))
        return fingerprint(self.run, str(step), before)

    def is_done(self, step: Step) -> bool:
        """Whether ``step`` is published and hangs on the chain; its files are hashed again.

        Raises:
            PolyEpoError: it is published but damaged.
        """
        manifest = read_manifest(self.step(step), verify=True)
        return manifest is not None and manifest.fingerprint == self.expected(step)

    def check_version(self, version: int) -> None:
        """Make sure that the policy of ``version`` and its optimizer are those that the update made.

        Raises:
            PolyEpoError: one of them is missing, damaged or another.
        """
        if version == 0:
            return
        update = read_manifest(self.step(Step(version, "update")))
        for name, directory in (("policy", self.policy(version)), ("trainer", self.trainer(version))):
            manifest = read_manifest(directory, verify=True)
            if manifest is None or update is None or manifest.digest != update.facts[name]:
                raise PolyEpoError(
                    f"not what the update of iteration {version} made",
                    where=str(directory),
                    remedy=f"`dvc pull` it, or remove {self.root} and run the same command again: the arm starts anew",
                )

    def claim(self, iterations: int) -> None:
        """Make the directory this run's: what another run left in it is no start for this one and is removed.

        So is what a run of more than ``iterations`` left: the policies on its way are not kept.

        Raises:
            PolyEpoError: the directory holds files, but is no workspace of an arm.
        """
        origin = self.root / "origin.json"
        self.root.mkdir(parents=True, exist_ok=True)
        if not origin.is_file() and any(path.name != f".{origin.name}.tmp" for path in self.root.iterdir()):
            raise PolyEpoError(
                "not the workspace of an arm, and not empty: nothing in it is touched",
                where=str(self.root),
                remedy="name a new directory, or empty this one",
            )
        longest = max((int(path.name) for path in self.root.glob("iterations/[0-9]*")), default=0)
        if origin.is_file() and _document(origin) == {"run": self.run} and longest <= iterations:
            return
        # Killed from here on, the directory is known as an arm's, but as no run's.
        write_json(origin, {"run": ""})
        for path in self.root.iterdir():
            if path != origin:
                _remove(path)
        write_json(origin, {"run": self.run})

    def prune(self, keep: set[int]) -> None:
        """Remove policies and optimizer states of versions not in ``keep``."""
        for parent in (self.root / "policies", self.root / "trainer"):
            for directory in parent.glob("[0-9]*"):
                if int(directory.name) not in keep:
                    _remove(directory)


def digest_of(directory: Path) -> str:
    """Digest of a published directory.

    Raises:
        PolyEpoError: it is not there, or damaged.
    """
    manifest = read_manifest(directory)
    if manifest is None:
        raise PolyEpoError(
            "nothing is published here", where=str(directory), remedy="run the stage that makes it, or `dvc pull`"
        )
    return manifest.digest


def _source(step: Step) -> Step | None:
    """The step whose output ``step`` reads first; None: the base policy."""
    if step.name == "score":
        return Step(step.iteration, "rollout")
    if step.name in ("gate", "update"):
        return Step(step.iteration, "score")
    version = step.iteration if step.name == "evaluate" else step.iteration - 1
    return Step(version, "update") if version else None


def _document(path: Path) -> object:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return None


def _remove(path: Path) -> None:
    if path.is_dir():
        # Without its manifest a half-removed directory does not exist.
        (path / MANIFEST_NAME).unlink(missing_ok=True)
        shutil.rmtree(path)
    else:
        path.unlink()
