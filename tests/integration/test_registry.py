"""Registering, promoting and rolling back against a real sqlite registry."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import shutil
from pathlib import Path

import pytest

from components.errors import PolyEpoError
from components.manifest import publish, read_manifest, write_json
from components.registry.aliases import list_versions, promote, rollback
from components.registry.gate import Decision
from components.registry.ledger import Ledger, Move
from components.registry.params import RegistryParams
from components.registry.register import register
from components.registry.show import card, kept_text, lineage, version_page, versions_table
from components.registry.store import CHALLENGER, CHAMPION, PREVIOUS, Models, open_models
from components.tracking.client import TrackingUnavailable
from components.tracking.params import TrackingParams
from components.tracking.sync import sync
from tests.unit.tracking import synthetic

ARM = "poly_epo"


class Desk:
    """A finished workspace whose candidate can be replaced by a better or worse one."""

    def __init__(self, root: Path, uri: str, *, model: str = "", fresh: bool = True) -> None:
        self.root, self.workspace = root, root / "workspace"
        name = model or f"m{hashlib.sha256(str(root).encode()).hexdigest()[:12]}"
        self.params = synthetic.make_params(root, [ARM], uri=uri, experiment=f"experiment of {name}")
        self.set_registry(model=name)
        if fresh:
            synthetic.make_base(self.workspace)
            synthetic.claim_arm(self.params, self.workspace, ARM)
            synthetic.add_iteration(self.workspace, ARM, 1)
            synthetic.finish_arm(self.workspace, ARM)
            synthetic.add_evaluation(self.workspace, "base", synthetic.rewards_with_rate(0.2))

    def set_registry(self, **values) -> None:
        sections = dict(self.params._sections)
        sections["registry"] = self.params[RegistryParams].model_copy(update=values)
        self.params = type(self.params)(sections)

    def candidate(self, rate: float, weights: str, **evaluation) -> None:
        with publish(self.workspace / "improve" / ARM / "final", fingerprint=weights, facts={"version": 4}) as final:
            (final / "model.safetensors").write_text(weights)
        synthetic.add_evaluation(self.workspace, ARM, synthetic.rewards_with_rate(rate), **evaluation)

    def register(self) -> Decision:
        return register(
            self.params,
            evaluations=self.workspace / "evaluation",
            policy=self.workspace / "improve" / ARM / "final",
            candidate=ARM,
            out=self.workspace / "promotion",
            reports=self.root / "reports",
            state=self.root / "state" / "tracking",
            sets=self.root / "sets",
        )

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.models.store, self.models.name)

    @property
    def models(self) -> Models:
        return open_models(self.params[TrackingParams], self.params[RegistryParams].model)

    def aliases(self) -> dict[str, int]:
        return {alias: version.number for version in list_versions(self.params) for alias in version.aliases}

    def document(self) -> bytes:
        return (self.workspace / "promotion" / "decision.json").read_bytes()

    def policy_digest(self) -> str:
        """Digest of the candidate's policy directory."""
        return read_manifest(self.workspace / "improve" / ARM / "final").digest

    def document_policy(self) -> str:
        """Digest of the policy that the published decision is about."""
        return json.loads(self.document())["policy"]

    def forget_decision(self) -> None:
        (self.workspace / "promotion" / "manifest.json").unlink()


@pytest.fixture(scope="module")
def uri(tmp_path_factory):
    return synthetic.new_database(tmp_path_factory.mktemp("store"))


@pytest.fixture
def desk(tmp_path, uri):
    return Desk(tmp_path, uri)


def test_the_first_candidate_is_judged_against_the_base(desk):
    desk.candidate(0.5, "one")
    decision = desk.register()
    assert (decision.verdict, decision.incumbent_is) == ("promoted", "base")
    assert desk.aliases() == {CHAMPION: 1}
    (version,) = list_versions(desk.params)
    client = desk.models.store.client
    entry = client.get_model_version(desk.models.name, "1")
    assert "| pass@1 | 0." in entry.description
    assert "learning_rate=" in entry.description
    run = client.get_run(version.run_id)
    assert run.info.run_name == f"arm {ARM}"  # lineage: version -> run -> parameters and data
    files = {file.path for file in client.list_logged_model_artifacts(version.tags["poly_epo.model_id"])}
    assert files == {"model.safetensors", "manifest.json", "poly_epo"}
    assert {"evidence.json", "lineage.json", "model_card.md"} <= set(desk.models.kept_names(version))
    document = json.loads(desk.document())
    assert document["policy"] == read_manifest(desk.workspace / "improve" / ARM / "final").digest
    assert not {"run_id", "version", "time"} & set(document)


def test_a_worse_candidate_stays_challenger_and_a_better_one_takes_over(desk):
    desk.candidate(0.5, "one")
    desk.register()
    desk.candidate(0.4, "two")
    assert desk.register().verdict == "refused"
    assert desk.aliases() == {CHAMPION: 1, CHALLENGER: 2}
    desk.candidate(0.8, "three")
    decision = desk.register()
    assert (decision.verdict, decision.incumbent_is) == ("promoted", "champion")
    assert desk.aliases() == {CHAMPION: 3, PREVIOUS: 1}


def test_the_same_policy_is_registered_once(desk):
    desk.candidate(0.5, "one")
    first = desk.register()
    document = desk.document()
    assert desk.register() == first  # published: nothing to do
    desk.forget_decision()
    assert desk.register() == first  # settled: the same decision again
    assert desk.document() == document
    desk.candidate(0.6, "one")  # the same weights, evaluated anew
    assert desk.register().verdict == "unchanged"
    assert [version.number for version in list_versions(desk.params)] == [1]
    assert desk.aliases() == {CHAMPION: 1}


def test_other_problems_are_refused(desk):
    desk.candidate(0.5, "one")
    desk.register()
    desk.candidate(0.9, "two", dataset="another test split")
    decision = desk.register()
    assert decision.verdict == "refused"
    assert "different problems" in decision.check("same problems").reason
    assert desk.aliases() == {CHAMPION: 1, CHALLENGER: 2}


def test_rollback_is_one_move_and_is_not_undone_by_a_repeat(desk):
    desk.candidate(0.5, "one")
    desk.register()
    with pytest.raises(PolyEpoError, match="no earlier champion"):
        rollback(desk.params)
    desk.candidate(0.8, "two")
    desk.register()
    assert rollback(desk.params).number == 1
    assert desk.aliases() == {CHAMPION: 1, PREVIOUS: 1}
    with pytest.raises(PolyEpoError, match="no earlier champion"):
        rollback(desk.params)
    desk.forget_decision()
    desk.register()
    assert desk.aliases()[CHAMPION] == 1
    promote(desk.params, 2)
    assert desk.aliases() == {CHAMPION: 2, PREVIOUS: 1}
    with pytest.raises(PolyEpoError, match=r"no such version \(got 9\) -> versions: 1, 2"):
        promote(desk.params, 9)


class _Death(BaseException):
    """Stands for a kill."""


WRITES = [
    "create_run",
    "create_experiment",
    "log_param",
    "create_logged_model",
    "log_model_artifacts",
    "finalize_logged_model",
    "create_model_version",
    "update_model_version",
    "set_registered_model_alias",
    "delete_registered_model_alias",
    "set_model_version_tag",
]


def _register_dying(desk: Desk, monkeypatch, at: int) -> list[str]:
    """Register, dying before the ``at``-th write takes effect; returns the writes tried."""
    client, tried = desk.models.store.client, []

    def dying(name, real):
        def write(*args, **kwargs):
            tried.append(name)
            if len(tried) == at:
                raise _Death
            return real(*args, **kwargs)

        return write

    with monkeypatch.context() as patch:
        for name in WRITES:
            patch.setattr(client, name, dying(name, getattr(client, name)))
        with contextlib.suppress(_Death):
            desk.register()
    return tried


class _Snapshot:
    """The store's files and the workspace's decision, to begin each attempt from the same state."""

    def __init__(self, desk: Desk, store: Path) -> None:
        self.desk, self.store, self.copy = desk, store, desk.root / "snapshot"
        shutil.copytree(store, self.copy)

    def restore(self) -> None:
        # The database keeps its inode: MLflow's connections stay open.
        shutil.copyfile(self.copy / "mlflow.db", self.store / "mlflow.db")
        for name in ("mlartifacts", "tracking"):
            shutil.rmtree(self.store / name, ignore_errors=True)
            if (self.copy / name).exists():
                shutil.copytree(self.copy / name, self.store / name)
        shutil.rmtree(self.desk.workspace / "promotion", ignore_errors=True)


@pytest.mark.slow
@pytest.mark.parametrize("champion", [False, True], ids=["no champion yet", "a champion"])
def test_killed_at_every_write_the_champion_stands_and_a_repeat_completes(tmp_path, monkeypatch, champion):
    desk = Desk(tmp_path, synthetic.new_database(tmp_path / "state"))
    allowed = {None, 1}
    if champion:
        desk.candidate(0.5, "one")
        desk.register()
        desk.candidate(0.8, "two")
        allowed = {1, 2}
    else:
        desk.candidate(0.5, "one")
        _ = desk.models
    sync_tracking(desk)
    snapshot = _Snapshot(desk, tmp_path / "state")
    writes = _register_dying(desk, monkeypatch, 10**9)
    assert writes.count("log_param") == 2  # the move, and that the aliases follow it
    expected, document = desk.aliases(), desk.document()
    assert expected == ({CHAMPION: 2, PREVIOUS: 1} if champion else {CHAMPION: 1})
    for at in range(1, len(writes) + 1):
        snapshot.restore()
        assert len(_register_dying(desk, monkeypatch, at)) == at
        assert desk.aliases().get(CHAMPION) in allowed
        desk.register()
        assert desk.aliases() == expected
        assert desk.document() == document
        assert [version.number for version in list_versions(desk.params)] == sorted(allowed - {None})
        assert [move.champion for move in desk.ledger.moves()] == sorted(allowed - {None})


def sync_tracking(desk: Desk) -> None:
    """Send the runs beforehand, so that registering writes to the registry alone."""
    sync(desk.params, workspace=desk.workspace, reports=desk.root / "reports", state=desk.root / "state/tracking")


def test_two_processes_that_make_the_ledger_agree_on_one(desk, monkeypatch):
    store, client = desk.models.store, desk.models.store.client
    real = client.get_experiment_by_name
    first = Ledger(store, "shared")
    answers = [None]  # the second looked before the first had made it
    monkeypatch.setattr(client, "get_experiment_by_name", lambda name: answers.pop() if answers else real(name))
    second = Ledger(store, "shared")
    assert not answers
    assert first.append(Move("hand", 1), 0)
    assert not second.append(Move("hand", 2), 0)
    assert second.append(Move("hand", 2), 1)
    assert [move.champion for move in first.moves()] == [1, 2]
    assert not first.append(Move("hand", 2), 1)  # an equal move of another process is not one's own


def test_a_late_process_cannot_leave_an_older_alias(desk):
    done = []
    ledger = Ledger(desk.models.store, "late")
    assert ledger.append(Move("hand", 1), 0)

    def project(move):
        if not done:  # a rival moves on while this process is about to set the alias
            assert ledger.append(Move("hand", 2), 1)
        done.append(move.champion)

    assert ledger.settle(project) == 2
    assert done == [1, 2]
    assert ledger.settle(project) == 2
    assert done == [1, 2]


def test_a_ledger_that_was_deleted_is_one_clear_line(desk):
    ledger = Ledger(desk.models.store, "gone")
    desk.models.store.client.delete_run(ledger._run_id)
    with pytest.raises(PolyEpoError, match="the ledger of promotions is gone"):
        Ledger(desk.models.store, "gone")


def test_a_set_without_its_evaluation_refuses_with_the_command_that_makes_it(desk):
    gate = desk.params[RegistryParams].gate
    desk.set_registry(gate=gate.model_copy(update={"regressions": {"champ": {1: 0.05}}}))
    champ = desk.root / "sets" / "champ"
    equal = synthetic.rewards_with_rate(0.3, seed=7)

    desk.candidate(0.5, "one")
    (failed,) = desk.register().failed
    policy = desk.workspace / "improve" / ARM / "final"
    assert failed.reason == (
        "the challenger has no evaluation on champ: make it with "
        f"`poly-epo evaluate {policy} --set champ --out {champ}/{ARM}`"
    )
    synthetic.add_evaluation(desk.workspace, ARM, equal, directory=champ / ARM)
    (failed,) = desk.register().failed
    assert failed.reason.startswith("the base policy has no evaluation on champ")
    synthetic.add_evaluation(desk.workspace, "base", equal, directory=champ / "base")
    decision = desk.register()
    assert decision.promoted
    assert decision.check("pass@1 on champ").passed

    # The next challenger is better on the test set and worse on champ, where the champion's counts were kept.
    desk.candidate(0.8, "two")
    synthetic.add_evaluation(desk.workspace, ARM, synthetic.rewards_with_rate(0.1, seed=7), directory=champ / ARM)
    decision = desk.register()
    assert decision.incumbent_is == "champion"
    assert [check.name for check in decision.failed] == ["pass@1 on champ"]
    assert desk.aliases() == {CHAMPION: 1, CHALLENGER: 2}


def test_what_is_gone_is_one_clear_line(desk):
    desk.candidate(0.5, "one")
    desk.register()
    models = desk.models
    (version,) = models.versions()
    with pytest.raises(PolyEpoError, match=r"has no such version \(got 'previous'\) -> versions: 1"):
        models.get(PREVIOUS)
    assert models.get(version.policy[:8]) == version
    models.fetch(version, desk.root / "fetched")
    assert (desk.root / "fetched" / "model.safetensors").read_text() == "one"
    assert not (desk.root / "fetched" / "poly_epo").exists()
    files = Path(version.source.removeprefix("file://"))
    (files / "model.safetensors").write_text("two")
    with pytest.raises(PolyEpoError, match="differs from its manifest"):
        models.fetch(version, desk.root / "other")
    shutil.rmtree(files)
    with pytest.raises(PolyEpoError, match="the files of version 1 are gone"):
        models.fetch(version, desk.root / "other")
    desk.candidate(0.8, "two")
    with pytest.raises(PolyEpoError, match=r"version 1 has no evaluation to be compared with .*-> promote by hand"):
        desk.register()
    assert desk.aliases()[CHAMPION] == 1
    models.store.client.create_model_version(models.name, "file:///made/by/hand")
    with pytest.raises(PolyEpoError, match="version 3 was not registered by this pipeline"):
        models.fetch(models.get(3), desk.root / "other")


def test_pages_show_the_facts(desk, monkeypatch):
    monkeypatch.chdir(desk.root)
    (desk.root / "dvc.lock").write_text("stages: {}\n")
    assert versions_table(list_versions(desk.params)) == "no versions yet: `poly-epo run` registers the first"
    desk.candidate(0.5, "one")
    desk.register()
    models = desk.models
    (version,) = models.versions()
    header, row = versions_table([version]).splitlines()
    assert header.split()[:5] == ["version", "aliases", "policy", "pass@1", "pass@8"]
    data = read_manifest(desk.workspace / "data").digest
    pass_at_1 = json.loads((desk.workspace / "evaluation" / ARM / "metrics.json").read_text())["pass@1"]
    for shown in ("champion", version.policy[:12], data[:12], f"{pass_at_1['value']:.3f} ["):
        assert shown in row
    assert "promoted: all 8 checks passed (against the base)" in version_page(models, version)
    text = card(models, version)
    for heading in ("## Evaluation", "## Limits", "## How to load it", "## Made from", "## Parameters"):
        assert heading in text
    assert f"data: `{data}`" in text
    ks = [int(k) for k in re.findall(r"^\| pass@(\d+) \|", text, re.MULTILINE)]
    assert len(ks) > 1
    assert ks == sorted(ks)
    assert kept_text(models, version, "dvc.lock") == "stages: {}\n"
    told = lineage(models, version)
    for fact in (data, version.policy, "learning_rate", f"evaluation {ARM}", "40 problems x 16 samples", "torch 2."):
        assert fact in told


def test_faults_of_the_input_are_one_line(desk):
    desk.candidate(0.5, "one")
    with publish(desk.workspace / "improve" / ARM / "final", fingerprint="changed") as final:
        (final / "model.safetensors").write_text("other weights")
    with pytest.raises(PolyEpoError, match="the evaluation is of another policy"):
        desk.register()
    with pytest.raises(PolyEpoError, match="no policy is published here"):
        register(
            desk.params,
            evaluations=desk.workspace / "evaluation",
            policy=desk.root / "none",
            candidate=ARM,
            out=desk.root / "out",
            reports=desk.root,
            state=desk.root / "state",
        )
    assert not (desk.workspace / "promotion").exists()


def test_an_unreachable_registry_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    desk = Desk(tmp_path, "http://127.0.0.1:9")
    desk.candidate(0.5, "one")
    with pytest.raises(TrackingUnavailable):
        desk.register()
    assert not (desk.workspace / "promotion").exists()


def test_a_champion_evaluated_on_the_new_test_split_is_compared_there(desk):
    """New data bring new test problems: an evaluation of the champion on them counts, not the one it was kept with."""
    desk.candidate(0.5, "one")
    assert desk.register().verdict == "promoted"
    champion = desk.models.get("champion").policy
    desk.candidate(0.9, "two", dataset="new problems")
    assert desk.register().verdict == "refused"
    # The decision is made again when the champion has been evaluated on the same problems.
    measured = desk.root / "sets" / "test" / "champion"
    synthetic.add_evaluation(
        desk.workspace, "base", synthetic.rewards_with_rate(0.5, seed=3), dataset="new problems", directory=measured
    )
    metrics = json.loads((measured / "metrics.json").read_text())
    with publish(measured, fingerprint="champion") as made:
        write_json(made / "metrics.json", metrics | {"policy": champion})
        (made / "per_problem.parquet").write_bytes((measured / "per_problem.parquet").read_bytes())
    synthetic.add_evaluation(desk.workspace, "base", synthetic.rewards_with_rate(0.2), dataset="new problems")
    decision = desk.register()
    assert decision.verdict == "promoted"
    assert (decision.incumbent_is, decision.incumbent) == ("champion", champion)
    assert decision.check("same problems").passed
