"""The vLLM engine against a server that misbehaves: what is lost is asked for again, what is wrong is refused."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from components.errors import PolyEpoError
from components.records import ROLLOUT
from components.rollout import vllm_replica
from components.rollout.engine import get_engine
from components.rollout.http import API_KEY
from components.rollout.params import RolloutParams
from components.rollout.vllm_engine import VllmEngine
from tests.tiny import problems
from tests.unit.rollout.fake_vllm import FakeVllm, fake_vllm

PROMPTS = [f"{number}+(1)=" for number in range(6)]
GROUP = 4
BAD_ANSWERS = [
    *("500", "429", "truncated", "prose", "drop", "duplicated", "missing", "short-logprobs", "nan", "cut"),
    *("restart", "stolen", "other-model", "other-prompt"),
]


@pytest.fixture
def fake() -> Iterator[tuple[FakeVllm, str]]:
    with fake_vllm() as running:
        yield running


def engine(tmp_path: Path, policy: Path, *urls: str, version: int = 3, **vllm: Any) -> VllmEngine:
    params = {"engine": "vllm", "max_new_tokens": 6, "vllm": {"urls": list(urls), "max_in_flight": 8, **vllm}}
    made = get_engine(RolloutParams.model_validate(params), state=tmp_path / "state", owner="arm")
    assert isinstance(made, VllmEngine)
    made.load_policy(policy, version)
    return made


def sample(made: VllmEngine, *, seed: int = 1) -> pa.Table:
    return made.sample(problems(PROMPTS), group_size=GROUP, seed=seed)


def test_groups_are_handed_on_while_others_are_sampled(
    fake: tuple[FakeVllm, str], tmp_path: Path, tiny_policy: Path
) -> None:
    server, url = fake
    handed: list[pa.Table] = []
    seen_before_answer: list[int] = []
    server.before_answer = lambda number: seen_before_answer.append(len(handed))
    made = engine(tmp_path, tiny_policy, url, max_in_flight=GROUP)
    table = made.sample(problems(PROMPTS), group_size=GROUP, seed=1, finished=handed.append)
    assert seen_before_answer == [0, 1, 2, 3, 4, 5]
    assert pa.concat_tables(handed).equals(table)


def test_groups_found_finished_are_handed_on_too(fake: tuple[FakeVllm, str], tmp_path: Path, tiny_policy: Path) -> None:
    server, url = fake
    server.faults = ["", "", "400"]
    with pytest.raises(PolyEpoError, match="refuses the request"):
        sample(engine(tmp_path, tiny_policy, url, max_in_flight=GROUP))
    handed: list[pa.Table] = []
    table = engine(tmp_path, tiny_policy, url).sample(
        problems(PROMPTS), group_size=GROUP, seed=1, finished=handed.append
    )
    whole = sorted(group["problem_id"][0].as_py() for group in handed)
    assert whole == sorted(set(table["problem_id"].to_pylist()))
    assert len(handed) == 6


def test_rows_hold_what_the_server_said(fake: tuple[FakeVllm, str], tmp_path: Path, tiny_policy: Path) -> None:
    server, url = fake
    table = sample(engine(tmp_path, tiny_policy, url))
    assert table.schema == ROLLOUT
    assert table["problem_id"].to_pylist() == [f"p{number}" for number in range(6) for _ in range(GROUP)]
    assert table["sample_index"].to_pylist() == list(range(GROUP)) * 6
    assert table["completion_ids"].to_pylist()[:2] == [[3, 3, 1], [3, 4, 1]]
    assert table["rollout_logprobs"].to_pylist()[1] == [-1.5, -0.25, -0.125]
    assert set(table["policy_version"].to_pylist()) == {3}
    assert set(table["engine"].to_pylist()) == {"vllm"}
    assert table["completion"].to_pylist()[0] == "  "
    # Every prompt was asked for once, by its exact ids, from the untruncated distribution, unseeded.
    assert sorted(request["prompt"] for request in server.requests) == sorted(table["prompt_ids"].to_pylist()[::GROUP])
    request = server.requests[0]
    assert (request["temperature"], request["top_p"], request["top_k"], request["n"]) == (1.0, 1.0, 0, GROUP)
    assert "seed" not in request
    assert server.loaded == [str(tiny_policy)]
    assert server.label.startswith("3-")


def test_no_more_is_under_way_than_allowed(fake: tuple[FakeVllm, str], tmp_path: Path, tiny_policy: Path) -> None:
    server, url = fake
    server.faults = ["late"] * 6
    sample(engine(tmp_path, tiny_policy, url, max_in_flight=2 * GROUP))
    assert server.most_at_once == 2


@pytest.mark.parametrize("fault", BAD_ANSWERS)
def test_a_bad_answer_is_asked_for_again(
    fault: str, fake: tuple[FakeVllm, str], tmp_path: Path, tiny_policy: Path
) -> None:
    server, url = fake
    whole = sample(engine(tmp_path / "whole", tiny_policy, url))
    server.requests.clear()
    server.faults = ["", fault]
    made = engine(tmp_path / "faulty", tiny_policy, url)
    assert sample(made).equals(whole)
    assert len(server.requests) > 6
    assert made.stats is not None
    assert made.stats.repeated_requests == len(server.requests) - 6


@pytest.mark.parametrize("fault", ["restart", "stolen"])
def test_a_server_that_lost_the_policy_gets_it_again(
    fault: str, fake: tuple[FakeVllm, str], tmp_path: Path, tiny_policy: Path
) -> None:
    server, url = fake
    server.faults = ["", "", fault]
    sample(engine(tmp_path, tiny_policy, url))
    assert server.loaded == [str(tiny_policy)] * 2


def test_a_dropped_connection_alone_does_not_load_the_policy_again(
    fake: tuple[FakeVllm, str], tmp_path: Path, tiny_policy: Path
) -> None:
    server, url = fake
    server.faults = ["", "drop"]
    sample(engine(tmp_path, tiny_policy, url))
    assert server.loaded == [str(tiny_policy)]


def test_the_policy_is_loaded_once_and_the_next_version_in_its_place(
    fake: tuple[FakeVllm, str], tmp_path: Path, tiny_policy: Path
) -> None:
    server, url = fake
    made = engine(tmp_path, tiny_policy, url)
    sample(made, seed=1)
    sample(made, seed=2)
    assert len(server.loaded) == 1
    made.load_policy(tiny_policy, 4)
    table = sample(made, seed=2)
    assert len(server.loaded) == 2
    assert set(table["policy_version"].to_pylist()) == {4}
    # Somebody restarts the server between two samplings.
    server.label = "default"
    sample(made, seed=3)
    assert len(server.loaded) == 3


def test_a_server_that_keeps_answering_badly_is_an_error(
    fake: tuple[FakeVllm, str], tmp_path: Path, tiny_policy: Path
) -> None:
    server, url = fake
    server.faults = ["500"] * 100
    with pytest.raises(PolyEpoError, match=r"answered badly 2 times: HTTP 500: out of sorts"):
        sample(engine(tmp_path, tiny_policy, url, attempts=2))


def test_a_refused_request_is_an_error_at_once(fake: tuple[FakeVllm, str], tmp_path: Path, tiny_policy: Path) -> None:
    server, url = fake
    server.faults = ["400"]
    with pytest.raises(PolyEpoError, match="refuses the request: HTTP 400"):
        sample(engine(tmp_path, tiny_policy, url, max_in_flight=1))


def test_finished_groups_outlive_the_sampler_and_are_never_doubled(
    fake: tuple[FakeVllm, str], tmp_path: Path, tiny_policy: Path
) -> None:
    server, url = fake
    server.faults = ["", "", "400"]
    with pytest.raises(PolyEpoError):
        sample(engine(tmp_path, tiny_policy, url, max_in_flight=1))
    server.requests.clear()
    made = engine(tmp_path, tiny_policy, url, max_in_flight=1)
    table = sample(made)
    assert len(server.requests) == 4
    assert made.stats is not None
    assert made.stats.found_groups == 2
    assert table["problem_id"].to_pylist() == [f"p{number}" for number in range(6) for _ in range(GROUP)]
    # Another seed, another version: other groups.
    server.requests.clear()
    sample(made, seed=2)
    assert len(server.requests) == 6
    assert len(list((tmp_path / "state" / "rollouts" / "arm").iterdir())) == 1


def test_two_samplers_of_the_same_exclude_each_other(
    fake: tuple[FakeVllm, str], tmp_path: Path, tiny_policy: Path
) -> None:
    _, url = fake
    made = engine(tmp_path, tiny_policy, url)
    sample(made)
    assert made._store is not None
    held = type(made._store)(tmp_path / "state" / "rollouts" / "arm", made._store.key)
    with pytest.raises(PolyEpoError, match="another process is sampling the same"):
        sample(engine(tmp_path, tiny_policy, url))
    held.close()


def test_two_servers_share_the_groups(fake: tuple[FakeVllm, str], tmp_path: Path, tiny_policy: Path) -> None:
    first, url = fake
    with fake_vllm() as (second, other):
        first.faults = second.faults = ["late"] * 3
        table = sample(engine(tmp_path, tiny_policy, url, other, max_in_flight=GROUP))
        assert len(table) == 6 * GROUP
        assert len(first.requests) + len(second.requests) == 6
        assert min(len(first.requests), len(second.requests)) >= 1


def test_a_server_that_stays_away_is_left_out_while_another_answers(
    fake: tuple[FakeVllm, str], tmp_path: Path, tiny_policy: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server, url = fake
    server.faults = ["late"] * 6
    caplog.set_level(logging.WARNING)
    made = engine(tmp_path, tiny_policy, url, "http://127.0.0.1:9", outage_limit_seconds=0.1, max_in_flight=GROUP)
    assert len(sample(made)) == 6 * GROUP
    assert len(server.requests) == 6
    assert "http://127.0.0.1:9 is left out" in caplog.text


def test_no_server_is_one_line(tmp_path: Path, tiny_policy: Path) -> None:
    with pytest.raises(PolyEpoError, match=r"http://127.0.0.1:9: no vLLM server answers here, for .* -> start it"):
        sample(engine(tmp_path, tiny_policy, "http://127.0.0.1:9", outage_limit_seconds=0.1))


def test_an_outage_costs_time_only(
    fake: tuple[FakeVllm, str], tmp_path: Path, tiny_policy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, url = fake
    monkeypatch.setattr(vllm_replica, "_FIRST_PAUSE_SECONDS", 0.01)
    made = engine(tmp_path, tiny_policy, url, max_in_flight=GROUP)
    server.faults = ["", "", "outage"]
    assert len(sample(made)) == 6 * GROUP
    assert len(server.loaded) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": "0.33.1"}, r"vLLM must be 0\.32\.x: .*'0\.33\.1'"),
        ({"version": "0.3.20"}, r"vLLM must be 0\.32\.x"),
        ({"refuse_loading": True}, "could not load the policy: Worker failed"),
        ({"forget_labels": True}, "says it holds weights 'default' after loading version 3"),
        ({"max_model_len": 8}, r"prompt of 6 tokens \+ 6 new tokens exceed the server's 8"),
    ],
)
def test_a_server_that_is_not_what_it_should_be_is_an_error(
    change: dict[str, Any], message: str, fake: tuple[FakeVllm, str], tmp_path: Path, tiny_policy: Path
) -> None:
    server, url = fake
    for name, value in change.items():
        setattr(server, name, value)
    with pytest.raises(PolyEpoError, match=message):
        sample(engine(tmp_path, tiny_policy, url))


def test_a_server_started_with_another_model_is_an_error(
    fake: tuple[FakeVllm, str], tmp_path: Path, tiny_policy: Path
) -> None:
    server, url = fake
    other = tmp_path / "other"
    other.mkdir()
    text = (tiny_policy / "config.json").read_text(encoding="utf-8")
    (other / "config.json").write_text(text.replace('"num_hidden_layers": 2', '"num_hidden_layers": 3'))
    server.root = str(other)
    with pytest.raises(PolyEpoError, match="another configuration than the policy's"):
        sample(engine(tmp_path, tiny_policy, url))


def test_the_key_goes_into_the_header_and_nowhere_else(
    fake: tuple[FakeVllm, str],
    tmp_path: Path,
    tiny_policy: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    server, url = fake
    monkeypatch.setenv(API_KEY, "s3cret")
    caplog.set_level(logging.DEBUG)
    server.faults = ["500", "drop"]
    sample(engine(tmp_path, tiny_policy, url))
    assert server.keys == {"Bearer s3cret"}
    assert "s3cret" not in caplog.text
    written = [file.read_bytes() for file in (tmp_path / "state").rglob("*") if file.is_file()]
    assert not any(b"s3cret" in content for content in written)


def test_without_problems_nothing_is_asked(tmp_path: Path, tiny_policy: Path) -> None:
    assert engine(tmp_path, tiny_policy, "http://127.0.0.1:9").sample([], group_size=4, seed=0).num_rows == 0
