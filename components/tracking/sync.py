"""Replay the workspace into MLflow: one parent run per retrain, one child per arm and per evaluation.

Every call sends what is published and not yet sent, and costs a few milliseconds when there is nothing. It may be
killed at any moment and repeated: runs are found again by a tag, metrics keep the time stamp noted before they were
first sent (MLflow drops identical rows), artifacts are overwritten in place.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from components.improve.params import ImproveParams
from components.manifest import MANIFEST_NAME, Manifest, fingerprint, read_manifest
from components.params import Params
from components.tracking.client import POLICY_TAG, DatasetRecord, Point, Store, TrackingUnavailable, connect
from components.tracking.identity import arm_origin, flat_params, provenance_tags, run_key
from components.tracking.params import TrackingParams
from components.tracking.samples import sample_table
from components.tracking.state import RunState, State, load_state, locked, save_state
from components.tracking.workspace import (
    Reading,
    arm_names,
    arm_readings,
    evaluated_policy,
    evaluation_names,
    evaluation_readings,
    iteration_directory,
    origin_of,
)

__all__ = ["KEY_TAG", "RETRAIN", "SyncReport", "TrackingUnavailable", "sync"]

KEY_TAG = "poly_epo.key"
RETRAIN = "retrain"
_TIP = "update "


@dataclass
class SyncReport:
    """What one `sync` did.

    Attributes:
        uri: the store; experiment_id: its experiment.
        runs: ``retrain``, ``arm/NAME``, ``evaluation/NAME`` -> MLflow run id; empty before the base policy exists.
        points: metric values sent by this call.
    """

    uri: str
    experiment_id: str = ""
    runs: dict[str, str] = field(default_factory=dict)
    points: int = 0

    @property
    def address(self) -> str:
        """Where to look: the parent run's page, or the command that serves a local store."""
        if self.uri.startswith("http"):
            page = f"/#/experiments/{self.experiment_id}/runs/{self.runs[RETRAIN]}" if RETRAIN in self.runs else ""
            return f"{self.uri}{page}"
        return f"mlflow ui --backend-store-uri {self.uri}"


def sync(
    params: Params,
    *,
    workspace: Path,
    reports: Path,
    state: Path,
    timings: Path | None = None,
    tags: Mapping[str, str] | None = None,
) -> SyncReport:
    """Send everything that is new in ``workspace`` and ``reports`` to MLflow.

    Args:
        params: all parameters; the section ``tracking`` says where to.
        workspace: the run's workspace.
        reports: directory that holds ``comparison/``.
        state: directory of the local state, ``.poly-epo/tracking``.
        timings: directory of ``ARM.jsonl``; by default ``timings`` beside ``state``.
        tags: further tags of the parent run, e.g. the id of the flow run.

    Raises:
        TrackingUnavailable: MLflow cannot be reached; nothing is lost, call again later.
        PolyEpoError: a published file is damaged.
    """
    tracking = params[TrackingParams]
    key = run_key(params, workspace)
    if key is None:
        return SyncReport(tracking.address())
    with locked(state):
        store = connect(tracking)
        path = state / f"{key[:16]}.json"
        replay = _Replay(store, key, path, load_state(path, store.uri))
        replay.retrain(params, workspace, tags or {})
        for name in arm_names(workspace):
            if origin_of(workspace / "improve" / name) == arm_origin(params, name, workspace):
                last = params[ImproveParams].iterations
                replay.arm(name, workspace, (timings or state.parent / "timings") / f"{name}.jsonl", last)
        for name in evaluation_names(workspace):
            if evaluated_policy(workspace / "evaluation" / name) in replay.policies:
                replay.evaluation(name, workspace)
        replay.finish(params[ImproveParams].arms, workspace, reports)
        runs = {name: run.run_id for name, run in replay.state.runs.items()}
        return SyncReport(store.uri, store.experiment_id, runs, replay.points)


class _Replay:
    """One pass over the workspace for one retrain."""

    def __init__(self, store: Store, key: str, path: Path, state: State) -> None:
        self.store, self.key, self.path, self.state = store, key, path, state
        self.points = 0
        self.policies: dict[str, str] = {}
        """Digest -> directory of the policies of this retrain: an evaluation of any other is a former one's."""

    def retrain(self, params: Params, workspace: Path, tags: Mapping[str, str]) -> None:
        """The parent run: parameters, provenance, data sets and the gates that the data passed."""
        parent = self.state.runs.get(RETRAIN)
        if parent is not None and not self.store.is_active(parent.run_id):
            self.state.runs.clear()  # deleted, or another database: everything is replayed into new runs
        run = self._run(RETRAIN, f"retrain {self.key[:8]}", {}, _first_moment(workspace))
        flat = flat_params(params)
        self._once(run, "params", fingerprint(flat), lambda: self.store.log_params(run.run_id, flat))
        told = provenance_tags(params) | {str(k): str(v) for k, v in tags.items()}
        self._once(run, "tags", fingerprint(told), lambda: self.store.set_tags(run.run_id, told))
        self._datasets(run, workspace, ["train", "validation", "test"])
        for gate in sorted((workspace / "gates").glob(f"*/{MANIFEST_NAME}")):
            self._directory(run, gate.parent, f"gates/{gate.parent.name}")
        self._policy(workspace / "base")

    def arm(self, name: str, workspace: Path, timings: Path, last: int) -> None:
        """A child run: step metrics, timings, sampled rollouts; FINISHED with the policy of iteration ``last``."""
        arm = workspace / "improve" / name
        run = self._child("arm", name, _arm_start(arm))
        self._datasets(run, workspace, ["train", "validation"])
        if _redone(run, arm):
            run.marks.clear()  # other content under the same parameters: newer code made it; its rows come on top
        self._send(run, arm_readings(arm, timings, run.marks), _tip(arm))
        self._samples(run, arm)
        for gate in sorted(arm.glob(f"iterations/*/gate/{MANIFEST_NAME}")):
            self._directory(run, gate.parent, f"gates/{gate.parent.parent.name}")
        final = read_manifest(arm / "final")
        if final is not None and final.facts.get("version") == last and (arm / "history.json").is_file():
            self._policy(arm / "final")
            self._finished(run, _modified(arm / "history.json"))

    def evaluation(self, name: str, workspace: Path) -> None:
        """A child run: the metrics of one evaluated policy, pass@k also as a curve over k."""
        directory = workspace / "evaluation" / name
        moment = _modified(directory / MANIFEST_NAME)
        run = self._child("evaluation", name, moment)
        self._datasets(run, workspace, ["test"])
        policy = evaluated_policy(directory)
        self._once(run, "policy", policy, lambda: self.store.set_tags(run.run_id, {POLICY_TAG: policy}))
        manifest = read_manifest(directory)
        if manifest is not None and run.done.get("content") != manifest.digest:
            self._send(run, evaluation_readings(directory), {"content": manifest.digest})
        self._finished(run, moment)

    def finish(self, arms: Sequence[str], workspace: Path, reports: Path) -> None:
        """The comparison and the decision, once every arm of this retrain is evaluated; the parent is then FINISHED."""
        expected = {f"evaluation/{name}" for name in ["base", *arms]} | {f"arm/{name}" for name in arms}
        done = {name for name, run in self.state.runs.items() if run.done.get("status") == "FINISHED"}
        if not expected <= done:
            return
        run, comparison = self.state.runs[RETRAIN], reports / "comparison"
        self._directory(run, comparison, "comparison")
        self._directory(run, workspace / "promotion", "promotion")
        if read_manifest(comparison) is not None:
            self._finished(run, _modified(comparison / MANIFEST_NAME))

    def _policy(self, directory: Path) -> None:
        manifest = read_manifest(directory)
        if manifest is not None:
            self.policies[manifest.digest] = str(directory)

    def _child(self, role: str, name: str, moment: int) -> RunState:
        parent = self.state.runs[RETRAIN].run_id
        return self._run(f"{role}/{name}", f"{role} {name}", {"mlflow.parentRunId": parent}, moment)

    def _run(self, name: str, title: str, tags: Mapping[str, str], moment: int) -> RunState:
        """The run called ``name``: from the state, else found by its tag, else made."""
        run = self.state.runs.get(name)
        if run is None:
            identity = f"{self.key}:{name}"
            found = self.store.find_run(KEY_TAG, identity)
            if found is None:
                made = {KEY_TAG: identity, "poly_epo.kind": name.partition("/")[0], **tags}
                run = RunState(self.store.create_run(title, made, moment))
            else:
                run = RunState(found, recovered=True)
            self.state.runs[name] = run
            self._save()
        return run

    def _send(self, run: RunState, readings: Sequence[Reading], done: Mapping[str, str]) -> None:
        """Send ``readings`` exactly once: stamps are saved first, marks and ``done`` together after."""
        if not readings:
            return
        held = self.store.logged_steps(run.run_id) if run.recovered else set()
        for reading in readings:
            run.pending.setdefault(f"{reading.stream}/{reading.step}", _modified(reading.file))
        self._save()
        points = [
            Point(key, value, reading.step, run.pending[f"{reading.stream}/{reading.step}"])
            for reading in readings
            for key, value in reading.values.items()
            if (key, reading.step) not in held
        ]
        self.store.log_points(run.run_id, points)
        for reading in readings:
            run.marks[reading.stream] = max(reading.step, run.marks.get(reading.stream, 0))
        for name in [name for name in run.done if name.startswith(_TIP)]:
            del run.done[name]
        run.done |= done
        run.pending.clear()
        run.recovered = False
        self.points += len(points)
        self._save()

    def _samples(self, run: RunState, arm: Path) -> None:
        """A table of rollouts for iteration 1 and for every iteration that was evaluated."""
        evaluated = {int(path.parent.parent.name) for path in arm.glob(f"iterations/*/evaluation/{MANIFEST_NAME}")}
        for number in sorted({1} | evaluated):
            scored = iteration_directory(arm, number) / "scored"
            target = f"rollouts/{number:06d}.json"
            if target not in run.done and number > 0 and (scored / MANIFEST_NAME).is_file():
                self._table(run, sample_table(scored / "scored.parquet"), target)

    def _table(self, run: RunState, table: str, target: str) -> None:
        """Upload a table and list it where MLflow's user interface looks for tables."""
        names = sorted({target} | {name for name in run.done if name.startswith("rollouts/")})
        listed = json.dumps([{"path": name, "type": "table"} for name in names])

        def send() -> None:
            self.store.log_text(run.run_id, table, target)
            self.store.set_tags(run.run_id, {"mlflow.loggedArtifacts": listed})

        self._once(run, target, fingerprint(table), send)

    def _datasets(self, run: RunState, workspace: Path, splits: Sequence[str]) -> None:
        if "datasets" in run.done:
            return
        manifest = read_manifest(workspace / "data")
        records = _dataset_records(manifest, workspace, splits) if manifest else []
        if records:
            digests = [record.digest for record in records]
            self._once(run, "datasets", fingerprint(digests), lambda: self.store.log_datasets(run.run_id, records))

    def _directory(self, run: RunState, directory: Path, target: str) -> None:
        manifest = read_manifest(directory)
        if manifest is not None:
            upload = lambda: self.store.log_directory(run.run_id, directory, target)  # noqa: E731
            self._once(run, target, manifest.digest, upload)

    def _finished(self, run: RunState, moment: int) -> None:
        self._once(run, "status", "FINISHED", lambda: self.store.finish(run.run_id, moment))

    def _once(self, run: RunState, name: str, content: str, send: Callable[[], None]) -> None:
        """Do ``send`` unless exactly this content was sent; sending twice (a kill in between) does no harm."""
        if run.done.get(name) != content:
            send()
            run.done[name] = content
            self._save()

    def _save(self) -> None:
        save_state(self.path, self.state)


def _dataset_records(manifest: Manifest, workspace: Path, splits: Sequence[str]) -> list[DatasetRecord]:
    context = {"train": "training", "validation": "validation", "test": "evaluation"}
    return [
        DatasetRecord(split, entry["sha256"], str(workspace / "data" / f"{split}.parquet"), context[split])
        for split in splits
        if (entry := manifest.files.get(f"{split}.parquet")) is not None
    ]


def _first_moment(workspace: Path) -> int:
    """Start of the retrain: the oldest rollouts, or now when there are none."""
    first = [path.stat().st_mtime for path in workspace.glob(f"improve/*/iterations/000001/rollouts/{MANIFEST_NAME}")]
    return int(1000 * min(first, default=time.time()))


def _redone(run: RunState, arm: Path) -> bool:
    """Whether the iteration that was the newest at the last sending is published with another content now."""
    for name in run.done:
        if name.startswith(_TIP):
            manifest = read_manifest(iteration_directory(arm, int(name.removeprefix(_TIP))) / "update")
            return manifest is not None and manifest.digest != run.done[name]
    return False


def _tip(arm: Path) -> dict[str, str]:
    """``update NUMBER`` -> digest of the arm's newest published update; empty when there is none."""
    for directory in sorted(arm.glob(f"iterations/*/update/{MANIFEST_NAME}"), reverse=True):
        manifest = read_manifest(directory.parent)
        if manifest is not None:
            return {f"{_TIP}{int(directory.parent.parent.name)}": manifest.digest}
    return {}


def _arm_start(arm: Path) -> int:
    first = iteration_directory(arm, 1) / "rollouts" / MANIFEST_NAME
    return _modified(first if first.is_file() else arm / "iterations")


def _modified(path: Path) -> int:
    """Modification time in milliseconds since 1970."""
    return path.stat().st_mtime_ns // 1_000_000
