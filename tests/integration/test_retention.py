"""Pruning against a real sqlite registry with its artifacts: what is in use stays."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from components.errors import PolyEpoError
from components.registry.aliases import list_versions, promote, rollback
from components.registry.prune import plan_text
from components.registry.retention import make_plan, prune
from components.registry.store import CHAMPION, PREVIOUS, Models
from components.tracking.client import POLICY_TAG
from components.tracking.params import TrackingParams
from tests.integration.registry.desk import ARM, Desk
from tests.unit.tracking import synthetic

ROOT = Path(__file__).parents[2]


@pytest.fixture
def desk(tmp_path):
    """Six versions: 5 is champion, 4 was before."""
    desk = Desk(tmp_path, synthetic.new_database(tmp_path / "state"))
    for number in range(1, 7):
        desk.candidate(0.3, f"weights {number}")
        version = desk.models.add(desk.workspace / "improve" / ARM / "final", desk.policy_digest(), None)
        desk.models.keep(version, {"note": str(number)})
    for number in (4, 5):
        promote(desk.params, number)
    return desk


def removing(desk: Desk, dry_run: bool = False, **options):
    action = make_plan if dry_run else prune
    return action(desk.params, desk.root, **({"keep_last": 1, "cache": False, "grace_seconds": 0.0} | options))


def numbers(desk: Desk) -> list[int]:
    return [version.number for version in list_versions(desk.params)]


def files(desk: Desk) -> set[str]:
    """The weights that lie in the artifact store."""
    return {path.read_text() for path in (desk.root / "state" / "mlartifacts").rglob("model.safetensors")}


def test_aliases_and_the_newest_stay(desk):
    before = sum(path.stat().st_size for path in (desk.root / "state" / "mlartifacts").rglob("*") if path.is_file())
    planned = removing(desk, dry_run=True)
    assert sorted(planned.versions) == [1, 2, 3]
    assert numbers(desk) == [1, 2, 3, 4, 5, 6]
    done = removing(desk)
    assert done.total == planned.total
    after = sum(path.stat().st_size for path in (desk.root / "state" / "mlartifacts").rglob("*") if path.is_file())
    assert before - after == done.total > 0
    assert numbers(desk) == [4, 5, 6]
    assert files(desk) == {"weights 4", "weights 5", "weights 6"}
    assert [f"{kept.name}: {kept.why}" for kept in done.kept] == [
        "version 4: alias previous",
        "version 5: alias champion",
        "version 6: among the last 1",
    ]
    text = plan_text(done, dry_run=False)
    assert "version 2 (" in text
    assert "version 5: alias champion" in text
    assert removing(desk).total == 0
    assert rollback(desk.params).number == 4  # still there, with its files
    desk.models.fetch(desk.models.get(CHAMPION), desk.root / "fetched")


def test_open_runs_and_dvc_lock_protect(desk):
    store = desk.models.store
    run_id = store.create_run("evaluation", {POLICY_TAG: desk.models.get(2).policy}, 0)
    desk.candidate(0.3, "weights 1")  # the checkout's dvc.lock refers to the policy of version 1
    lock = {"stages": {"improve": {"outs": [{"path": f"workspace/improve/{ARM}", "md5": "0" * 32 + ".dir"}]}}}
    (desk.root / "dvc.lock").write_text(yaml.safe_dump(lock))
    plan = removing(desk)
    assert sorted(plan.versions) == [3]
    reasons = {kept.name: kept.why for kept in plan.kept}
    assert reasons["version 1"] == "dvc.lock refers to it"
    assert reasons["version 2"] == f"open run {run_id[:8]}"
    store.finish(run_id, 1)
    assert sorted(removing(desk).versions) == [2]


def test_old_sampled_rollouts_go_and_those_of_kept_versions_and_open_runs_stay(desk):
    store = desk.models.store
    arms = []
    for number in range(4):
        parent = store.create_run(f"retrain {number}", {"poly_epo.kind": "retrain"}, number + 1)
        arm = store.create_run(f"arm {number}", {"poly_epo.kind": "arm", "mlflow.parentRunId": parent}, number + 1)
        store.log_text(arm, "x" * 100, "rollouts/000001.json")
        store.log_text(arm, "gate", "gates/result.json")
        if number != 1:  # the second was never finished
            store.finish(arm, 10)
            store.finish(parent, 10)
        arms.append(arm)
    desk.candidate(0.3, "weights 7")
    desk.models.add(desk.workspace / "improve" / ARM / "final", desk.policy_digest(), arms[2])
    plan = removing(desk)
    assert plan.rollouts == {arms[0]: (f"rollouts of arm 0 ({arms[0][:8]})", 100)}
    whys = {kept.name.split(" (")[0]: kept.why for kept in plan.kept}
    assert whys["rollouts of arm 1"] == "the run is open"
    assert whys["rollouts of arm 2"] == "a kept version was made by this run"
    assert store.client.list_artifacts(arms[0], "rollouts") == []
    assert [file.path for file in store.client.list_artifacts(arms[0])] == ["gates"]
    assert all(store.client.list_artifacts(arm, "rollouts") for arm in arms[1:])
    (desk.root / ".dvc" / "cache").mkdir(parents=True)
    (desk.root / "dvc.lock").write_text("stages: {}\n")
    assert any("is open and may be writing" in kept.why for kept in removing(desk, cache=True).kept)


class _Death(BaseException):
    """Stands for a kill."""


@pytest.mark.parametrize("step", ["remove", "remove_files"])
def test_a_killed_prune_is_finished_and_nothing_retired_is_promoted(desk, monkeypatch, step):
    real, calls = getattr(Models, step), []

    def dying(self, *arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise _Death
        return real(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Models, step, dying)
        with pytest.raises(_Death):
            removing(desk)
    if step == "remove":
        with pytest.raises(PolyEpoError, match="being removed by `poly-epo prune`"):
            promote(desk.params, 3)
    removing(desk, keep_last=6)  # even though enough versions are left: it was begun
    assert numbers(desk) == [4, 5, 6]
    assert files(desk) == {"weights 4", "weights 5", "weights 6"}
    assert desk.aliases() == {CHAMPION: 5, PREVIOUS: 4}


def test_a_promotion_that_comes_first_is_respected(desk, monkeypatch):
    from components.registry import retention

    real, plans = retention.make_plan, []

    def overtaken(*arguments, **options):
        plan = real(*arguments, **options)
        if not plans:
            promote(desk.params, 2)
        plans.append(sorted(plan.versions))
        return plan

    monkeypatch.setattr(retention, "make_plan", overtaken)
    removing(desk)
    assert plans == [[1, 2, 3], [1, 3, 4]]
    assert numbers(desk) == [2, 5, 6]
    assert desk.aliases() == {CHAMPION: 2, PREVIOUS: 5}


def test_the_command_line(desk):
    document = yaml.safe_load((ROOT / "params.yaml").read_text())
    tracking = desk.params[TrackingParams]
    document["tracking"] = {"uri": tracking.uri, "experiment": tracking.experiment}
    document["registry"]["model"] = desk.models.name
    (desk.root / "params.yaml").write_text(yaml.safe_dump(document))
    command = [sys.executable, "-m", "components.registry.prune", "--keep-last"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}

    def call(*options):
        return subprocess.run([*command, *options], cwd=desk.root, env=environment, capture_output=True, text=True)

    shown = call("2", "--dry-run")
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.startswith("would remove ")
    assert numbers(desk) == [1, 2, 3, 4, 5, 6]
    assert call("0").stderr == "error: --keep-last: at least the newest must be kept (got 0)\n"
