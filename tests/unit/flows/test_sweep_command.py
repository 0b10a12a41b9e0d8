"""`poly-epo sweep` hands on what stands in params.yaml."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from flows.cli import app
from flows.profiles import apply_profile

ROOT = Path(__file__).parents[3]


class _SeenError(Exception):
    pass


def test_rates_without_a_decimal_point_are_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    apply_profile("smollm2", params=tmp_path / "params.yaml", directory=ROOT / "profiles")
    monkeypatch.chdir(tmp_path)
    seen: dict[str, Any] = {}

    def run_sweep(document: dict[str, Any], **_: Any) -> None:
        seen.update(document)
        raise _SeenError

    monkeypatch.setattr("flows.sweep.run_sweep", run_sweep)
    result = CliRunner().invoke(app, ["sweep", "--learning-rates", "1e-5"])
    assert isinstance(result.exception, _SeenError), result.output
    assert seen["policy"]["warm_start"]["learning_rate"] == 3e-5
