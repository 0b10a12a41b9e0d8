"""One arm's reinforcement-learning run as a list of resumable steps over files.

    with Session.open(params, arm="poly_epo", base=..., problems=..., out=...) as session:
        for step in session.pending_steps():
            session.run(step)
        session.finish()

Killed anywhere, a new session starts at the first step that is missing and ends with the same bytes (on CPU, with
the same number of threads). Who calls the steps (the plain loop of ``python -m components.improve``, or an
orchestrator that wraps each in a task) is no concern of this module.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from components.errors import PolyEpoError
from components.improve.history import write_history
from components.improve.keeping import best_version, kept_versions
from components.improve.plan import all_steps
from components.improve.settings import ArmSettings
from components.improve.steps import ArmSteps
from components.improve.workspace import ArmWorkspace, Step, digest_of
from components.manifest import MANIFEST_NAME, fingerprint, is_published, publish, write_json
from components.params import Params

__all__ = ["Session"]


class Session:
    """See the module; made by ``open``."""

    def __init__(self, settings: ArmSettings, workspace: ArmWorkspace, steps: ArmSteps, timings: Path) -> None:
        self._settings = settings
        self._workspace = workspace
        self._steps = steps
        self._timings = timings

    @classmethod
    @contextmanager
    def open(
        cls,
        params: Params,
        *,
        arm: str,
        base: Path,
        problems: Path,
        out: Path,
        state: Path = Path(".poly-epo"),
    ) -> Iterator[Self]:
        """A session that alone holds the workspace ``out``.

        Args:
            params: all sections.
            arm: a key of section ``arms``.
            base: policy directory of version 0.
            problems: directory with train.parquet and validation.parquet.
            out: the arm's workspace.
            state: local state that is not versioned (locks, timings, Data Docs).

        Raises:
            PolyEpoError: unknown arm, missing input, or another process works in ``out``.
        """
        settings = ArmSettings.of(params, arm)
        run = fingerprint(settings.identity(), digest_of(base), digest_of(problems))
        workspace = ArmWorkspace(out, base, run)
        with _alone(out, state / "locks"):
            workspace.claim(settings.improve.iterations)
            with ArmSteps(settings, workspace, problems, state) as steps:
                yield cls(settings, workspace, steps, state / "timings" / f"{arm}.jsonl")

    @property
    def compute_seconds(self) -> float:
        """Seconds of real work so far; the rest of a run's wall time is orchestration."""
        return self._steps.compute_seconds

    def pending_steps(self) -> list[Step]:
        """The steps still to do, in order: everything from the first one that is not published.

        Raises:
            PolyEpoError: a published step is damaged.
        """
        improve = self._settings.improve
        steps = list(
            all_steps(improve.iterations, evaluate_every=improve.evaluate_every, gate_every=self._settings.gates.every)
        )
        for place, step in enumerate(steps):
            if not self._workspace.is_done(step):
                self._workspace.check_version(step.reads_version)
                return steps[place:]
        return []

    def run(self, step: Step) -> dict[str, float]:
        """Do one step and publish it; returns its metrics. Steps are run in the order of ``pending_steps``.

        Raises:
            PolyEpoError: bad rollouts, a failed gate, a diverged update, a full disk; nothing half-written stays.
        """
        work = getattr(self._steps, step.name)
        begin, before = time.perf_counter(), self._steps.compute_seconds
        metrics: dict[str, float] = work(step.iteration)
        self._record_timing(step, time.perf_counter() - begin, self._steps.compute_seconds - before, metrics)
        return metrics

    def finish(self) -> None:
        """Publish the last policy as ``final`` and write history.json; to be called when no step is pending."""
        last = self._settings.improve.iterations
        self._workspace.check_version(last)
        policy = self._workspace.policy(last)
        made_from = fingerprint("final", digest_of(policy))
        if not is_published(self._workspace.final, made_from):
            with publish(self._workspace.final, fingerprint=made_from, facts={"version": last}) as directory:
                without_manifest = shutil.ignore_patterns(MANIFEST_NAME)
                shutil.copytree(policy, directory, ignore=without_manifest, copy_function=os.link, dirs_exist_ok=True)
        write_history(self._workspace, last)
        best = best_version(self._workspace, self._settings.improve, last)
        if best is not None:
            write_json(self._workspace.root / "best.json", vars(best))
        self._workspace.prune(keep=kept_versions(self._workspace, self._settings.improve, last, finished=True))

    def _record_timing(self, step: Step, seconds: float, computed: float, metrics: dict[str, float]) -> None:
        timing: dict[str, object] = {"iteration": step.iteration, "step": step.name, "seconds": seconds}
        tokens = metrics.get("completion_tokens")
        if tokens is not None and computed > 0:
            timing["tokens_per_second"] = tokens / computed
        self._timings.parent.mkdir(parents=True, exist_ok=True)
        with self._timings.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(timing) + "\n")


@contextmanager
def _alone(out: Path, locks: Path) -> Iterator[None]:
    """Hold the workspace ``out`` alone; the kernel frees the lock when the process dies, however it dies."""
    locks.mkdir(parents=True, exist_ok=True)
    name = fingerprint(str(out.resolve()))[:16]
    with (locks / f"{name}.lock").open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise PolyEpoError(
                "another process is training here", where=str(out), remedy="wait for it to end, or stop it"
            ) from error
        yield
