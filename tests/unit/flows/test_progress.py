"""Progress: plain lines and the live table show stages, and no control characters of hostile output."""

import io
import json
from datetime import datetime, timedelta

import pytest
from rich.console import Console

from flows.progress import FLOW_RUN_ID, JsonReporter, PlainReporter, RichReporter, reporting


def test_plain_lines() -> None:
    out = io.StringIO()
    reporter = PlainReporter(out)
    reporter.planned(["data", "base"])
    reporter.started("data")
    reporter.line("data", "10%\r20%\x1b[31m red")
    reporter.line("data", "   ")
    reporter.ended("data", "done in 1.0 s")
    lines = [line.partition("] ")[2] for line in out.getvalue().splitlines()]
    assert lines == ["2 stages: data, base", "data: started", "data | 20%\\x1b[31m red", "data: done in 1.0 s"]


def test_table_shows_every_stage_with_its_state() -> None:
    reporter = RichReporter()
    reporter.planned(["data", "base", "improve@grpo"])
    reporter.started("data")
    reporter.ended("data", "skipped")
    reporter.started("base")
    reporter.line("base", "[bold]step[/bold] 1 of 2")
    reporter.note("Prefect: http://127.0.0.1:1")
    console = Console(file=io.StringIO(), width=100)
    console.print(reporter.__rich__())
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    rows = {line.split()[0]: line for line in text.splitlines() if line.strip()}
    assert "skipped" in rows["data"]
    assert "running" in rows["base"]
    assert "[bold]step[/bold] 1 of 2" in rows["base"]
    assert "waiting" in rows["improve@grpo"]
    assert "http://127.0.0.1:1" in text


def test_json_lines_carry_the_flow_run_and_hold_hostile_text_on_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FLOW_RUN_ID, "run-1")
    out = io.StringIO()
    reporter = JsonReporter(out)
    reporter.started("data")
    reporter.line("data", "a\r\x1b[31m\u2028b")
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [(line["event"], line["stage"], line["flow_run_id"]) for line in lines] == [
        ("started", "data", "run-1"),
        ("line", "data", "run-1"),
    ]
    assert lines[1]["text"] == "a\r\x1b[31m\u2028b"
    assert datetime.fromisoformat(lines[0]["time"]).utcoffset() == timedelta(0)


def test_the_format_is_chosen_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLY_EPO_LOG_FORMAT", "json")
    with reporting() as reporter:
        assert isinstance(reporter, JsonReporter)
