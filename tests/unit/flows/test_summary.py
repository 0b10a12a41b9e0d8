"""The end of a run: table, figures, shares, and nothing that is not there."""

import json
from pathlib import Path
from typing import Any

import pytest

from flows.summary import orchestration_shares, print_summary, write_seconds


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def document() -> dict[str, Any]:
    """table.json of a base and one arm, pass@1 alone."""
    conditions = {
        "problems": 81,
        "samples": 64,
        "distinct_samples": 64,
        "confidence": 0.95,
        "temperature": 1.0,
        "top_p": 1.0,
        "dataset": "x",
    }
    return {
        "columns": ["pass@1"],
        "conditions": conditions,
        "models": [
            {"model": "base", "metrics": {"pass@1": {"value": 0.1, "low": 0.05, "high": 0.2}}},
            {"model": "poly_epo", "metrics": {"pass@1": {"value": 0.4, "low": 0.3, "high": 0.5}}},
        ],
        "differences": [
            {
                "baseline": "base",
                "candidate": "poly_epo",
                "metrics": {"pass@1": {"value": 0.3, "low": 0.2, "high": 0.4}},
            }
        ],
    }


def test_share_is_what_is_neither_compute_nor_load(tmp_path: Path) -> None:
    write_seconds(tmp_path, {"improve@grpo": 100.0, "improve@gone": 5.0, "base": 50.0})
    inside = {"wall_seconds": 95, "compute_seconds": 80.0, "load_seconds": 12.0}
    write(tmp_path / ".poly-epo/timings/improve-grpo.json", json.dumps(inside))
    assert orchestration_shares(tmp_path) == {"grpo": pytest.approx(0.08)}


def test_seconds_of_skipped_stages_stay(tmp_path: Path) -> None:
    write_seconds(tmp_path, {"data": 1.0, "base": 2.0})
    write_seconds(tmp_path, {"base": 3.0})
    assert json.loads((tmp_path / ".poly-epo/timings/stages.json").read_text()) == {"data": 1.0, "base": 3.0}


def test_summary_shows_table_figures_and_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "reports/comparison/table.json", json.dumps(document()))
    write(tmp_path / "reports/comparison/figures/pass_at_k.png", "")
    print_summary(tmp_path, 12.34)
    text = capsys.readouterr().out
    assert "0.10 [0.05, 0.20]" in text
    assert "Poly-EPO" in text
    assert "+0.30" in text
    assert "reports/comparison/figures/pass_at_k.png" in text
    assert "total time: 12.3 s" in text


def test_summary_of_an_empty_project(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    print_summary(tmp_path, 1.0)
    text = capsys.readouterr().out
    assert "total time: 1.0 s" in text
    assert "figures" not in text
    assert "orchestration" not in text
