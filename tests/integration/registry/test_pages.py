"""Tables, cards and lineage show the facts."""

from __future__ import annotations

import json
import re

from components.manifest import read_manifest
from components.registry.aliases import list_versions
from components.registry.show import card, kept_text, lineage, version_page, versions_table
from tests.integration.registry.desk import ARM


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
