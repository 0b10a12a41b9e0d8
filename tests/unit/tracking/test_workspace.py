from __future__ import annotations

import json

import pytest

from components.errors import PolyEpoError
from components.manifest import publish, write_json
from components.records import SCORED_ROLLOUT, write_records
from components.tracking.samples import escaped, sample_table
from components.tracking.workspace import arm_names, arm_readings, evaluation_readings
from tests.unit.tracking import synthetic


def test_readings_hold_published_steps_only(tmp_path):
    synthetic.add_iteration(tmp_path, "grpo", 1, evaluated=True)
    unpublished = tmp_path / "improve/grpo/iterations/000002/update"
    unpublished.mkdir(parents=True)
    write_json(unpublished / "metrics.json", {"loss": 3.0})
    readings = arm_readings(tmp_path / "improve/grpo", tmp_path / "none", {})
    assert {(r.stream, r.step) for r in readings} == {("scored", 1), ("update", 1), ("evaluation", 1)}
    by_stream = {r.stream: dict(r.values) for r in readings}
    assert by_stream["update"] == {"loss": 1.0, "entropy": 1.0}  # text is no metric
    assert by_stream["evaluation"] == {"validation/pass_at_1": 0.1, "validation/pass_at_8": 0.2}
    assert arm_names(tmp_path) == ["grpo"]


def test_marks_skip_what_was_sent_but_not_a_late_evaluation(tmp_path):
    for number in (1, 2):
        synthetic.add_iteration(tmp_path, "grpo", number, evaluated=number == 1)
    readings = arm_readings(tmp_path / "improve/grpo", tmp_path / "none", {"update": 2, "scored": 1})
    assert {(r.stream, r.step) for r in readings} == {("scored", 2), ("evaluation", 1)}


def test_the_evaluation_of_the_base_policy_is_step_0(tmp_path):
    synthetic.add_base_evaluation_of_arm(tmp_path, "grpo")
    (reading,) = arm_readings(tmp_path / "improve/grpo", tmp_path / "none", {})
    assert (reading.step, dict(reading.values)) == (0, {"validation/pass_at_1": 0.05})
    assert arm_readings(tmp_path / "improve/grpo", tmp_path / "none", {"evaluation": 0}) == []


def test_timings_take_the_last_line_of_a_step_and_ignore_a_cut_one(tmp_path):
    synthetic.add_iteration(tmp_path, "grpo", 1)
    timings = tmp_path / "grpo.jsonl"
    lines = [
        {"iteration": 1, "step": "rollout", "seconds": 9.0},
        {"iteration": 1, "step": "rollout", "seconds": 2.0, "tokens_per_second": 50.0},
        {"iteration": 2, "step": "rollout", "seconds": 5.0},  # not published
    ]
    synthetic.add_timings(timings, lines)
    with timings.open("a") as stream:
        stream.write('{"iteration": 1, "step": "upd')
    readings = [r for r in arm_readings(tmp_path / "improve/grpo", timings, {}) if r.stream.startswith("timing/")]
    assert [dict(r.values) for r in readings] == [
        {"timing/rollout/seconds": 2.0, "timing/rollout/tokens_per_second": 50.0}
    ]
    assert arm_readings(tmp_path / "improve/grpo", timings, {"timing/rollout": 1, "update": 1, "scored": 1}) == []


def test_evaluation_becomes_scalars_and_a_curve_over_k(tmp_path):
    with publish(tmp_path / "base", fingerprint="x") as directory:
        write_json(directory / "metrics.json", {"pass@1": 0.1, "pass@8": {"value": 0.5, "low": 0.4}, "problems": 81})
    readings = evaluation_readings(tmp_path / "base")
    curve = {r.step: dict(r.values) for r in readings if r.stream == "curve"}
    assert curve == {1: {"pass_by_k": 0.1}, 8: {"pass_by_k": 0.5, "pass_by_k/low": 0.4}}
    assert readings[-1].values["problems"] == 81.0


def test_damaged_metrics_name_the_file(tmp_path):
    synthetic.add_iteration(tmp_path, "grpo", 1)
    (tmp_path / "improve/grpo/iterations/000001/update/metrics.json").write_text("{")
    with pytest.raises(PolyEpoError, match=r"update/metrics\.json: not JSON"):
        arm_readings(tmp_path / "improve/grpo", tmp_path / "none", {})


def test_sampled_completions_are_escaped(tmp_path):
    hostile = "<script>alert(1)</script>\x1b[31m\u202e"
    write_records(tmp_path / "s.parquet", synthetic.scored_table({"a": [1, 0], "b": [1]}, hostile), SCORED_ROLLOUT)
    table = json.loads(sample_table(tmp_path / "s.parquet", problems=1, samples=2))
    assert [row[0] for row in table["data"]] == ["a", "a"]
    shown = table["data"][0][table["columns"].index("completion")]
    assert shown == "&lt;script&gt;alert(1)&lt;/script&gt;\\x1b[31m\\u202e"
    assert len(escaped("y" * 5000)) < 2010
