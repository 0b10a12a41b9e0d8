"""What is missing, damaged or unreachable is one clear line."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from components.errors import PolyEpoError
from components.manifest import publish
from components.registry.register import register
from components.registry.store import CHAMPION, PREVIOUS
from components.tracking.client import TrackingUnavailable
from tests.integration.registry.desk import ARM, Desk


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
