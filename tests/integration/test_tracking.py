"""`sync` against a real sqlite store: exactly once, whatever is killed, lost or repeated."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from pathlib import Path

import pytest

from components.improve.session import Session
from components.manifest import publish, write_json
from components.params import parse_params
from components.tracking import client as client_module
from components.tracking.client import Store, TrackingUnavailable, connect
from components.tracking.identity import arm_origin
from components.tracking.params import TrackingParams
from components.tracking.sync import sync
from components.tracking.workspace import origin_of
from tests.unit.tracking import synthetic


class Place:
    """A workspace with its reports, state and store below one directory."""

    def __init__(self, root: Path, uri: str, *, fresh: bool = True) -> None:
        self.root, self.workspace, self.reports = root, root / "workspace", root / "reports"
        self.state = root / "state" / "tracking"
        self.params = synthetic.make_params(root, uri=uri, experiment=str(root))
        if fresh:
            synthetic.make_base(self.workspace)
            for arm in ("grpo", "poly_epo"):
                synthetic.claim_arm(self.params, self.workspace, arm)

    def sync(self, **tags):
        return sync(self.params, workspace=self.workspace, reports=self.reports, state=self.state, tags=tags)

    @property
    def store(self) -> Store:
        return connect(self.params[TrackingParams])

    def fill(self, arms: tuple[str, ...] = ("grpo", "poly_epo"), iterations: int = 4) -> None:
        for arm in arms:
            for number in range(1, iterations + 1):
                synthetic.add_iteration(self.workspace, arm, number, evaluated=number % 2 == 0)
            steps = [{"iteration": n, "step": "rollout", "seconds": 0.5 * n} for n in range(1, iterations + 1)]
            synthetic.add_timings(self.state.parent / "timings" / f"{arm}.jsonl", steps)

    def rows(self) -> dict[tuple[str, str, int], list[tuple[float, int]]]:
        """(run name, key, step) -> all rows (value, time stamp) that MLflow holds."""
        found: dict[tuple[str, str, int], list[tuple[float, int]]] = {}
        for run in self.store.client.search_runs([self.store.experiment_id]):
            for key in run.data.metrics:
                for metric in self.store.client.get_metric_history(run.info.run_id, key):
                    place = (run.info.run_name, key, metric.step)
                    found.setdefault(place, []).append((metric.value, metric.timestamp))
        return found

    def run_names(self) -> Counter[str]:
        runs = self.store.client.search_runs([self.store.experiment_id])
        return Counter(run.info.run_name for run in runs)


@pytest.fixture(scope="module")
def uri(tmp_path_factory):
    """One database for the module: making its tables takes seconds. Every test has an experiment of its own."""
    return synthetic.new_database(tmp_path_factory.mktemp("store"))


@pytest.fixture
def place(tmp_path, monkeypatch, uri):
    monkeypatch.chdir(tmp_path)
    return Place(tmp_path, uri)


def test_nothing_is_sent_before_the_base_policy_exists(tmp_path):
    params = synthetic.make_params(tmp_path)
    report = sync(params, workspace=tmp_path / "w", reports=tmp_path / "r", state=tmp_path / "s")
    assert report.runs == {}
    assert not (tmp_path / "state").exists()


def test_a_whole_retrain_is_recorded(place):
    place.fill()
    for arm in ("grpo", "poly_epo"):
        synthetic.finish_arm(place.workspace, arm)
        synthetic.add_evaluation(place.workspace, arm, synthetic.rewards_with_rate(0.5))
    synthetic.add_evaluation(place.workspace, "base", synthetic.rewards_with_rate(0.1))
    synthetic.add_comparison(place.reports)
    report = place.sync(flow_run_id="flow-1")
    client = place.store.client
    parent = client.get_run(report.runs["retrain"])
    arm = client.get_run(report.runs["arm/grpo"])
    assert parent.data.params["improve.arms"] == "['grpo', 'poly_epo']"
    assert parent.data.tags["flow_run_id"] == "flow-1"
    assert parent.info.status == arm.info.status == "FINISHED"
    assert arm.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert {i.dataset.name for i in arm.inputs.dataset_inputs} == {"train", "validation"}
    assert {f.path for f in client.list_artifacts(parent.info.run_id, "comparison")} >= {"comparison/table.md"}
    assert {f.path for f in client.list_artifacts(arm.info.run_id, "rollouts")} == {
        "rollouts/000001.json",
        "rollouts/000002.json",
        "rollouts/000004.json",
    }
    tables = json.loads(arm.data.tags["mlflow.loggedArtifacts"])
    assert [entry["path"] for entry in tables] == [f"rollouts/{n:06d}.json" for n in (1, 2, 4)]
    rows = place.rows()
    metrics = place.workspace / "improve/grpo/iterations/000003/update/metrics.json"
    assert rows["arm grpo", "loss", 3] == [(pytest.approx(1 / 3), 1000 * int(metrics.stat().st_mtime))]
    assert rows["arm grpo", "timing/rollout/seconds", 4][0][0] == 2.0
    assert all(len(found) == 1 for found in rows.values())


def test_what_a_former_retrain_left_is_not_this_ones(place):
    """The same workspace with new parameters: arms, evaluations and reports are stale until they are made again."""
    place.fill()
    for arm in ("grpo", "poly_epo"):
        synthetic.finish_arm(place.workspace, arm)
        synthetic.add_evaluation(place.workspace, arm, synthetic.rewards_with_rate(0.5))
    synthetic.add_evaluation(place.workspace, "base", synthetic.rewards_with_rate(0.1))
    synthetic.add_comparison(place.reports)
    old = place.params.as_dict()
    changed = old | {"training": old["training"] | {"learning_rate": 0.5}}
    changed["registry"]["gate"]["margins"] = {1: 0.0}
    params = parse_params(changed | {"tracking": old["tracking"]})
    report = sync(params, workspace=place.workspace, reports=place.reports, state=place.state)
    assert set(report.runs) == {"retrain", "evaluation/base"}
    parent = place.store.client.get_run(report.runs["retrain"])
    assert parent.info.status == "RUNNING"
    assert place.store.client.list_artifacts(parent.info.run_id, "comparison") == []


def test_origin_is_what_the_improve_session_writes(place):
    out = place.workspace / "improve" / "grpo"
    (out / "origin.json").unlink()
    with Session.open(
        place.params,
        arm="grpo",
        base=place.workspace / "base",
        problems=place.workspace / "data",
        out=out,
        state=place.root / "state",
    ):
        assert origin_of(out) == arm_origin(place.params, "grpo", place.workspace)
    assert arm_origin(place.params, "unknown", place.workspace) is None


def test_a_run_in_progress_grows_and_costs_little_when_nothing_is_new(place):
    synthetic.add_iteration(place.workspace, "grpo", 1)
    first = place.sync()
    assert place.store.client.get_run(first.runs["arm/grpo"]).info.status == "RUNNING"
    synthetic.add_iteration(place.workspace, "grpo", 2, evaluated=True)
    assert place.sync().points == 5
    assert place.sync().points == 0
    assert sorted(step for _, key, step in place.rows() if key == "loss") == [1, 2]


def test_nothing_new_makes_one_call_to_the_server(place, monkeypatch):
    place.fill()
    place.sync()
    calls: list[str] = []
    client = place.store.client
    for name in ("get_run", "log_batch", "search_runs", "log_inputs", "log_artifacts", "log_text", "create_run"):
        real = getattr(client, name)
        monkeypatch.setattr(client, name, lambda *a, n=name, r=real, **k: (calls.append(n), r(*a, **k))[1])
    place.sync()
    assert calls == ["get_run"]


def test_lost_state_and_touched_files_double_nothing(place):
    place.fill()
    place.sync()
    before = place.rows()
    for file in place.state.glob("*.json"):
        file.unlink()
    for file in place.workspace.rglob("*.json"):
        os.utime(file)  # a checkout of the same files has new modification times
    synthetic.add_iteration(place.workspace, "grpo", 5)
    place.sync()
    after = place.rows()
    assert {key: rows for key, rows in after.items() if key in before} == before
    assert ("arm grpo", "loss", 5) in after
    assert set(place.run_names().values()) == {1}


def _calls_of_one_sync(place: Place) -> int:
    """How many times a full sync of one arm talks to MLflow."""
    place.fill(("grpo",), 2)
    counter = _Dying(place.store.client, 10**9)
    _run_dying(place, counter)
    return counter.count


class _Death(BaseException):
    """Stands for a kill: nothing may catch it."""


class _Dying:
    """Ends the process' work at the n-th call, before or after the call took effect."""

    def __init__(self, client, at: int, *, after: bool = False) -> None:
        self.client, self.at, self.after, self.count = client, at, after, 0

    def __getattr__(self, name):
        real = getattr(self.client, name)

        def call(*args, **kwargs):
            self.count += 1
            if self.count == self.at and not self.after:
                raise _Death
            result = real(*args, **kwargs)
            if self.count == self.at:
                raise _Death
            return result

        return call


def _run_dying(place: Place, dying: _Dying) -> None:
    store = place.store
    real, store.client = store.client, dying
    try:
        place.sync()
    finally:
        store.client = real


@pytest.mark.slow
@pytest.mark.parametrize("after", [False, True])
def test_killed_at_every_call_and_repeated_every_metric_is_there_once(tmp_path, monkeypatch, uri, after):
    monkeypatch.chdir(tmp_path)
    reference = Place(tmp_path / "reference", uri)
    reference.fill(("grpo",), 2)
    reference.sync()
    expected = {key: [value for value, _ in rows] for key, rows in reference.rows().items()}
    total = _calls_of_one_sync(Place(tmp_path / "count", uri))
    assert total > 10
    for at in range(1 + after, total + 1, 2):  # odd calls die before, even ones after they took effect
        place = Place(tmp_path / f"at{at}", uri)
        place.fill(("grpo",), 2)
        with pytest.raises(_Death):
            _run_dying(place, _Dying(place.store.client, at, after=after))
        for file in place.workspace.rglob("*.json"):
            os.utime(file, (1_800_000_000, 1_800_000_000))  # stamps noted before the kill must be used again
        place.sync()
        assert {key: [value for value, _ in rows] for key, rows in place.rows().items()} == expected
        assert set(place.run_names().values()) == {1}


def test_content_made_anew_under_the_same_parameters_is_sent_on_top(place):
    """After a change of the code the same parameters can give other numbers: the newest must be what MLflow shows."""
    place.fill()
    synthetic.add_evaluation(place.workspace, "base", synthetic.rewards_with_rate(0.1))
    first = place.sync()
    iteration = place.workspace / "improve/grpo/iterations/000004/update"
    with publish(iteration, fingerprint="new code") as directory:
        write_json(directory / "metrics.json", {"loss": 7.0})
    synthetic.add_evaluation(place.workspace, "base", synthetic.rewards_with_rate(0.4))
    place.sync()
    client = place.store.client
    assert client.get_run(first.runs["arm/grpo"]).data.metrics["loss"] == 7.0
    assert client.get_run(first.runs["evaluation/base"]).data.metrics["pass_at_1"] > 0.3
    rows = place.rows()
    assert len(rows["arm grpo", "loss", 3]) == 1  # what did not change is still there once
    assert len(rows["arm grpo", "loss", 4]) == 2
    assert place.sync().points == 0


def test_a_deleted_run_is_replayed_into_a_new_one(place):
    place.fill()
    first = place.sync()
    expected = place.rows()
    for run_id in first.runs.values():
        place.store.client.delete_run(run_id)
    second = place.sync()
    assert not set(first.runs.values()) & set(second.runs.values())
    assert place.rows() == expected


def test_an_unreachable_server_is_one_clear_error_and_soon(place, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    params = synthetic.make_params(place.root, uri="http://127.0.0.1:9")
    started = time.monotonic()
    with pytest.raises(TrackingUnavailable, match=r"MLflow is unavailable.*-> the workspace keeps everything"):
        sync(params, workspace=place.workspace, reports=place.reports, state=place.state)
    assert time.monotonic() - started < 30
    place.fill()
    assert place.sync().points > 0  # the same workspace replays into the store that works


def test_a_broken_database_is_unavailable_not_a_traceback(tmp_path):
    database = tmp_path / "broken.db"
    database.write_text("not a database")
    with pytest.raises(TrackingUnavailable):
        client_module.connect(TrackingParams(uri=f"sqlite:///{database}"))
