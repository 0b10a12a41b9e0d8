"""What of a DVC cache is in use: against caches and dvc.locks that DVC itself made."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from components.errors import PolyEpoError
from components.manifest import publish, read_manifest
from components.registry.cache import locked_policies, locks_of_checkout, unused_objects

GIT = ["git", "-c", "user.name=test", "-c", "user.email=test@example.invalid", "-c", "commit.gpgsign=false"]


class Project:
    """A real git and DVC project with one stage, whose output is a policy directory that can change."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.run("git", "init", "-q", "-b", "main")
        self.dvc("init", "-q")
        (root / "dvc.yaml").write_text(
            "stages:\n  improve:\n    cmd: 'true'\n    outs:\n    - work:\n        persist: true\n"
        )

    def run(self, *command: str) -> None:
        environment = os.environ | {"DVC_NO_ANALYTICS": "1"}
        subprocess.run(command, cwd=self.root, env=environment, check=True, capture_output=True)

    def dvc(self, *arguments: str) -> None:
        self.run(sys.executable, "-m", "dvc", *arguments)

    def retrain(self, weights: str) -> tuple[str, str]:
        """Make the stage's output and let DVC store it; returns the policy's digest and the text of dvc.lock."""
        with publish(self.root / "work" / "final", fingerprint=weights) as directory:
            (directory / "config.json").write_text("{}")
            (directory / "model.safetensors").write_text(weights)
        (self.root / "work" / "notes.txt").write_text("the same in every retrain")
        self.dvc("commit", "-q", "-f", "improve")
        manifest = read_manifest(self.root / "work" / "final")
        assert manifest is not None
        return manifest.digest, (self.root / "dvc.lock").read_text()

    @property
    def cache(self) -> Path:
        return self.root / ".dvc" / "cache"

    def unused(self, *locks: str, grace: float = -60) -> set[str]:
        found = unused_objects(self.cache, [*locks_of_checkout(self.root), *locks], grace_seconds=grace)
        return {entry.path.read_text() for entry in found if entry.path.suffix != ".dir"}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """One project after three retrains, the first on a branch of its own; copied for tests that change it."""
    project = Project(tmp_path_factory.mktemp("dvc"))
    locks = [project.retrain("first")]
    project.run("git", "add", "-A")
    project.run(*GIT, "commit", "-q", "-m", "first retrain")
    project.run("git", "branch", "release")
    locks += [project.retrain(name) for name in ("second", "third")]
    project.run("git", "add", "-A")
    project.run(*GIT, "commit", "-q", "-m", "third retrain")
    return project, locks


def test_what_no_lock_refers_to_is_unused(made):
    project, locks = made
    unused = project.unused()
    assert "second" in unused
    assert not unused & {"first", "third", "{}", "the same in every retrain"}  # a branch, the checkout, shared files
    assert "second" not in project.unused(locks[1][1])  # the dvc.lock kept with a version
    assert not project.unused(grace=3600)  # just written: perhaps by a stage whose dvc.lock is not written yet


def test_a_version_whose_dvc_lock_was_kept_can_be_brought_back(made, tmp_path):
    origin, locks = made
    shutil.copytree(origin.root, tmp_path / "copy", symlinks=True)
    project = origin.__class__.__new__(origin.__class__)
    project.root = tmp_path / "copy"
    for entry in unused_objects(project.cache, [*locks_of_checkout(project.root), locks[1][1]], grace_seconds=-60):
        entry.path.unlink()
    (project.root / "dvc.lock").write_text(locks[1][1])
    shutil.rmtree(project.root / "work")
    project.dvc("checkout", "-q")
    assert (project.root / "work" / "final" / "model.safetensors").read_text() == "second"


def test_policies_of_a_lock_are_known_by_their_digest(made):
    project, locks = made
    digests = [digest for digest, _ in locks]
    assert locked_policies(project.root, project.cache, [locks[1][1]]) >= {digests[1]}
    assert locked_policies(project.root, project.cache, locks_of_checkout(project.root)) == {digests[0], digests[2]}
    assert locked_policies(project.root, project.root / "no cache", [locks[2][1]]) == {digests[2]}  # from the checkout


def test_an_unreadable_lock_removes_nothing(tmp_path):
    for text in ("stages: [", "just text"):
        with pytest.raises(PolyEpoError, match=r"unreadable dvc\.lock"):
            unused_objects(tmp_path, [text], grace_seconds=0)
