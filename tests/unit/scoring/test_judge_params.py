from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from components.scoring.judge.params import JudgeParams, is_loopback_host
from components.scoring.params import ScoringParams


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"url": "ftp://127.0.0.1/v1"}, "http:// or https://"),
        ({"url": "file:///etc/passwd"}, "http:// or https://"),
        ({"url": "http:///v1"}, "http:// or https://"),
        ({"url": "127.0.0.1:8000"}, "http:// or https://"),
        ({"url": "https://api.example.org/v1"}, "allow_remote"),
        ({"url": "http://10.0.0.7:8000/v1"}, "allow_remote"),
        ({"url": "http://localhost.example.org/v1"}, "allow_remote"),
        ({"url": "http://0.0.0.0:8000/v1"}, "allow_remote"),
        ({"url": "http://me:secret@127.0.0.1:8000/v1"}, "no credentials"),
        ({"url": "http://127.0.0.1:8000/v1?api_key=x"}, "no credentials"),
        ({"request": {"model": "x"}}, "model is not free"),
        ({"request": {"messages": []}}, "messages is not free"),
        ({"max_failure_share": 1.5}, "less than or equal to 1"),
        ({"concurrency": 0}, "greater than or equal to 1"),
    ],
)
def test_what_must_not_be_is_refused(values: dict[str, Any], match: str) -> None:
    with pytest.raises(ValidationError, match=match):
        JudgeParams.model_validate(values)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8000/v1", "http://localhost/v1", "https://[::1]:8000/v1", "http://127.9.9.9/v1"]
)
def test_loopback_needs_no_leave(url: str) -> None:
    assert JudgeParams(url=url).url == url


def test_another_machine_may_be_asked_where_that_is_wanted() -> None:
    assert JudgeParams(url="https://api.example.org/v1/", allow_remote=True).url == "https://api.example.org/v1"
    assert not is_loopback_host("api.example.org")


def test_a_judge_must_be_named() -> None:
    with pytest.raises(ValidationError, match=r"needs judge\.model"):
        ScoringParams(clusterer="judge")


def test_the_identity_of_scoring_holds_only_what_is_used() -> None:
    plain = ScoringParams().identity()
    assert plain == ScoringParams(judge=JudgeParams(model="m")).identity()
    assert "judge" not in plain
    assert "embedding" not in plain
    judged = ScoringParams(clusterer="judge", judge=JudgeParams(model="m"))
    elsewhere = ScoringParams(
        clusterer="judge", judge=JudgeParams(model="m", url="http://localhost:1/v1", concurrency=2, cache="x")
    )
    assert judged.identity() == elsewhere.identity()
    assert judged.identity() != ScoringParams(clusterer="judge", judge=JudgeParams(model="n")).identity()
