"""The servers with a network that can be cut, and small projects that use them: one for every try."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from components.tracking.workspace import arm_readings, evaluation_names, evaluation_readings
from flows.profiles import set_values
from tests.e2e.conftest import ROOT, Checkout
from tests.integration.backends.conftest import PROFILE, files_below
from tests.services.proxy import Proxy
from tests.services.stack import Stack, running

ITERATIONS = 3

VLLM = """\
policy: {source: {hidden_size: 64, heads: 2}}
rollout: {engine: vllm, vllm: {kv_cache_gib: 1}}
improve: {arms: [poly_epo]}
"""
"""Overlay of projects whose rollouts come from vLLM servers of the run's own: one arm, heads that vLLM computes."""


_VLLM_ENVIRONMENT = {"POLY_EPO_VLLM_ENV": str(ROOT / ".vllm")}


@dataclass
class World:
    """What every try shares."""

    directory: Path
    stack: Stack
    mlflow: Proxy
    s3: Proxy
    templates: dict[bool, Path] = field(default_factory=dict)
    """Projects that tries are copies of, without and with vLLM."""

    def environment(self) -> dict[str, str]:
        """The stack's, by way of the proxies."""
        mlflow, s3 = f"http://127.0.0.1:{self.mlflow.port}", f"http://127.0.0.1:{self.s3.port}"
        through = {"MLFLOW_TRACKING_URI": mlflow}
        through |= dict.fromkeys(("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "MLFLOW_S3_ENDPOINT_URL"), s3)
        return self.stack.environment() | through | {"OMP_NUM_THREADS": "1", "POLY_EPO_RETRY_DELAY": "1"}

    def project(self, name: str, root: Path, *, vllm: bool = False) -> Project:
        """A fresh project at ``root`` with MLflow experiment, model and DVC remote of its own.

        Args:
            name: of the experiment, the model and the prefix of the remote.
            root: an empty or absent directory.
            vllm: rollouts come from vLLM servers (the environment `.vllm` of this checkout).
        """
        if vllm not in self.templates:
            self.templates[vllm] = _template(self.directory / f"template-{vllm}", vllm)
        shutil.copytree(self.templates[vllm], root, dirs_exist_ok=True)
        set_values({"tracking": {"experiment": name}, "registry": {"model": name}}, root / "params.yaml")
        checkout = Checkout(root, extra=self.environment() | _VLLM_ENVIRONMENT)
        checkout.run("dvc", "remote", "add", "-d", "team", f"s3://dvc-remote/{name}")
        return Project(name, checkout, self.stack, ("poly_epo",) if vllm else ("grpo", "poly_epo"))


@dataclass(frozen=True)
class Project:
    """One project, and what is to be looked at when its run has ended."""

    name: str
    checkout: Checkout
    stack: Stack
    arms: tuple[str, ...]

    def start(self) -> subprocess.Popen[bytes]:
        """`poly-epo run` in the background; its output goes to killed.log."""
        return self.checkout.start("poly-epo", "run")

    def last_words(self) -> str:
        """The last line that a run said."""
        return (self.checkout.root / "killed.log").read_text(errors="replace").splitlines()[-1]

    def published(self) -> int:
        """Directories that the run has published so far."""
        # os.walk passes over directories that vanish meanwhile: a temporary one is renamed when it is published.
        return sum("manifest.json" in names for _, _, names in os.walk(self.checkout.root / "workspace"))

    def policies(self) -> dict[str, Mapping[str, bytes]]:
        """The final policies' files."""
        return {arm: files_below(self.checkout.root / f"workspace/improve/{arm}/final") for arm in self.arms}

    def steps(self) -> Counter[tuple[str, int, str]]:
        """How often each step of each arm was done to its end."""
        done: Counter[tuple[str, int, str]] = Counter()
        for arm in self.arms:
            for line in (self.checkout.root / f".poly-epo/timings/{arm}.jsonl").read_text().splitlines():
                entry = json.loads(line)
                done[arm, entry["iteration"], entry["step"]] += 1
        return done

    def iterations(self) -> dict[str, list[int]]:
        """The iterations in each arm's history."""
        found = {}
        for arm in self.arms:
            history = json.loads((self.checkout.root / f"workspace/improve/{arm}/history.json").read_text())
            found[arm] = [row["iteration"] for row in history["iterations"]]
        return found

    def metrics(self) -> tuple[list[str], int]:
        """What MLflow's database holds: "run name|key|step" sorted without timings, and the number of double rows."""
        sql = (
            "select t.value, m.key, m.step from metrics m join runs r using (run_uuid) "
            "join tags t on t.run_uuid = r.run_uuid and t.key = 'mlflow.runName' "
            "join experiments e using (experiment_id) "
            f"where e.name = '{self.name}' and m.key not like 'timing/%'"
        )
        rows = self.stack.postgres.query("mlflow", sql).splitlines()
        return sorted(set(rows)), len(rows) - len(set(rows))

    def measured(self) -> list[str]:
        """The metrics that the workspace's own files hold, in the form of :meth:`metrics`."""
        workspace = self.checkout.root / "workspace"
        readings = {f"arm {arm}": arm_readings(workspace / "improve" / arm, Path(os.devnull), {}) for arm in self.arms}
        for name in evaluation_names(workspace):
            readings[f"evaluation {name}"] = evaluation_readings(workspace / "evaluation" / name)
        return sorted(
            f"{run}|{key}|{reading.step}"
            for run, found in readings.items()
            for reading in found
            for key in reading.values
        )

    def unpushed(self) -> list[str]:
        """Stages that DVC's remote still misses."""
        path = self.checkout.root / ".poly-epo/push/pending.json"
        return [str(name) for name in json.loads(path.read_text())] if path.exists() else []


@contextmanager
def world(directory: Path) -> Iterator[World]:
    """Servers, proxies and the project that tries are copies of."""
    with ExitStack() as ending:
        stack = ending.enter_context(running(directory / "servers"))
        proxies = [ending.enter_context(Proxy(port)) for port in (stack.mlflow.port, stack.s3.port)]
        yield World(directory, stack, *proxies)


def _template(root: Path, vllm: bool) -> Path:
    """The project as it is committed, small, with everything done that comes before the arms' loops."""
    subprocess.run(["git", "clone", "-q", str(ROOT), str(root)], check=True)
    checkout = Checkout(root, extra=_VLLM_ENVIRONMENT)
    (root / "dvc.lock").unlink(missing_ok=True)
    (root / "profiles" / "smallest.yaml").write_text(PROFILE)
    for profile in ("quick", "smallest"):
        checkout.run("poly-epo", "profile", "apply", profile)
    set_values({"improve": {"iterations": ITERATIONS}}, root / "params.yaml")
    if vllm:
        set_values(yaml.safe_load(VLLM), root / "params.yaml")
    checkout.run("dvc", "repro", "evaluate_base")
    return root
