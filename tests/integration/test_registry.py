"""Registering, promoting and rolling back against a real sqlite registry."""

from __future__ import annotations

import contextlib
import hashlib
import json
from pathlib import Path

import pytest

from components.errors import PolyEpoError
from components.manifest import publish, read_manifest
from components.registry.aliases import list_versions, promote, rollback
from components.registry.gate import Decision
from components.registry.params import RegistryParams
from components.registry.register import register
from components.registry.store import CHALLENGER, CHAMPION, PREVIOUS, Models, open_models
from components.tracking.client import TrackingUnavailable
from components.tracking.params import TrackingParams
from tests.unit.tracking import synthetic

ARM = "poly_epo"


class Desk:
    """A finished workspace whose candidate can be replaced by a better or worse one."""

    def __init__(self, root: Path, uri: str) -> None:
        self.root, self.workspace = root, root / "workspace"
        self.params = synthetic.make_params(root, [ARM], uri=uri, experiment=str(root))
        model = f"m{hashlib.sha256(str(root).encode()).hexdigest()[:12]}"
        sections = dict(self.params._sections)
        sections["registry"] = self.params[RegistryParams].model_copy(update={"model": model})
        self.params = type(self.params)(sections)
        synthetic.make_base(self.workspace)
        synthetic.claim_arm(self.params, self.workspace, ARM)
        synthetic.add_iteration(self.workspace, ARM, 1)
        synthetic.finish_arm(self.workspace, ARM)
        synthetic.add_evaluation(self.workspace, "base", synthetic.rewards_with_rate(0.2))

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
        )

    @property
    def models(self) -> Models:
        return open_models(self.params[TrackingParams], self.params[RegistryParams].model)

    def aliases(self) -> dict[str, int]:
        return {alias: version.number for version in list_versions(self.params) for alias in version.aliases}

    def document(self) -> bytes:
        return (self.workspace / "promotion" / "decision.json").read_bytes()

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
    "create_logged_model",
    "log_model_artifacts",
    "finalize_logged_model",
    "create_model_version",
    "update_model_version",
    "set_registered_model_alias",
    "delete_registered_model_alias",
    "set_model_version_tag",
]


def _register_dying(desk: Desk, monkeypatch, at: int) -> int:
    """Register, dying before the ``at``-th write takes effect; returns the writes tried."""
    client, tried = desk.models.store.client, 0

    def dying(real):
        def write(*args, **kwargs):
            nonlocal tried
            tried += 1
            if tried == at:
                raise _Death
            return real(*args, **kwargs)

        return write

    with monkeypatch.context() as patch:
        for name in WRITES:
            patch.setattr(client, name, dying(getattr(client, name)))
        with contextlib.suppress(_Death):
            desk.register()
    return tried


@pytest.mark.slow
def test_killed_at_every_write_the_champion_stands_and_a_repeat_completes(tmp_path, uri, monkeypatch):
    def ready(name: str) -> Desk:
        desk = Desk(tmp_path / name, uri)
        desk.candidate(0.5, "one")
        desk.register()
        desk.candidate(0.8, "two")
        return desk

    reference = ready("reference")
    total = _register_dying(reference, monkeypatch, 10**9)
    assert total > 10
    expected, document = reference.aliases(), reference.document()
    assert expected == {CHAMPION: 2, PREVIOUS: 1}
    for at in range(1, total + 1):
        desk = ready(f"at{at}")
        assert _register_dying(desk, monkeypatch, at) == at
        assert desk.aliases()[CHAMPION] in (1, 2)
        desk.register()
        assert desk.aliases() == expected
        assert desk.document() == document
        assert [version.number for version in list_versions(desk.params)] == [1, 2]


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
