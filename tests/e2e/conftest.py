"""A copy of the project in a temporary directory, as a user has it after a clone, with the quick profile applied."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RUN_SECONDS = 900


@dataclass(frozen=True)
class Checkout:
    """A working copy; commands run in it use its own code, not the installed one."""

    root: Path
    extra: Mapping[str, str] = field(default_factory=dict)
    """Environment variables of all its commands."""

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command, cwd=self.root, env=self.env(), capture_output=True, text=True, timeout=RUN_SECONDS, check=False
        )
        if check and done.returncode:
            pytest.fail(f"{' '.join(command)} exited {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
        return done

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        log = (self.root / "killed.log").open("ab")
        return subprocess.Popen(command, cwd=self.root, env=self.env(), stdout=log, stderr=log, start_new_session=True)

    def env(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "MLFLOW_"))}
        return kept | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(self.root),
            "DVC_NO_ANALYTICS": "1",
            "COLUMNS": "200",
            **self.extra,
        }


def kill(process: subprocess.Popen[bytes]) -> None:
    """kill -9 of the command alone: what it started has to notice by itself."""
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


@pytest.fixture(scope="session")
def make_checkout(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Checkout]:
    def make(name: str) -> Checkout:
        root = tmp_path_factory.mktemp(name) / "project"
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            capture_output=True,
            check=True,
        )
        for entry in listed.stdout.decode().split("\0"):
            if entry and (ROOT / entry).is_file():
                (root / entry).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / entry, root / entry)
        (root / "dvc.lock").unlink(missing_ok=True)
        checkout = Checkout(root)
        git = ["git", "-c", "user.name=test", "-c", "user.email=test@example.invalid"]
        checkout.run("git", "init", "-q")
        checkout.run("poly-epo", "profile", "apply", "quick")
        checkout.run("git", "add", "-A")
        checkout.run(*git, "commit", "-q", "-m", "start")
        return checkout

    return make


@pytest.fixture(scope="session")
def finished(make_checkout: Callable[[str], Checkout]) -> tuple[Checkout, str]:
    """A checkout in which `poly-epo run` ran to its end undisturbed, and what it printed."""
    checkout = make_checkout("finished")
    return checkout, checkout.run("poly-epo", "run").stdout
