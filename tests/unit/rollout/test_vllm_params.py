"""Where rollouts come from: addresses that are allowed, and what belongs to a run's identity."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from components.errors import PolyEpoError
from components.rollout.params import URLS, RolloutParams


def params(engine: str = "vllm", **vllm: object) -> RolloutParams:
    return RolloutParams.model_validate({"engine": engine, "max_new_tokens": 4, "vllm": vllm})


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8100", "http://localhost:8100", "https://[::1]:8443", "http://127.9.9.9"]
)
def test_loopback_addresses_are_allowed(url: str) -> None:
    assert params(urls=[url]).vllm.urls == [url]


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("file:///etc/passwd", "no http"),
        ("127.0.0.1:8100", "no http"),
        ("http://", "no http"),
        ("http://10.0.0.7:8100", "not on this machine; set rollout.vllm.allow_remote"),
        ("http://vllm.example:8100", "not on this machine"),
        ("http://user:word@127.0.0.1:8100", "holds no credentials"),
        ("http://127.0.0.1:8100/v1", "must end with host and port"),
    ],
)
def test_other_addresses_are_refused(url: str, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        params(urls=[url])


def test_servers_elsewhere_are_for_those_who_say_so() -> None:
    assert params(urls=["http://10.0.0.7:8100"], allow_remote=True).vllm.urls == ["http://10.0.0.7:8100"]


def test_whoever_started_the_process_may_run_servers_for_it() -> None:
    given = {URLS: "http://127.0.0.1:8101,http://127.0.0.1:8102/"}
    assert params().vllm.addresses({}) == []
    assert params().vllm.addresses(given) == ["http://127.0.0.1:8101", "http://127.0.0.1:8102"]
    assert params(urls=["http://127.0.0.1:8100/"]).vllm.addresses(given) == ["http://127.0.0.1:8100"]
    with pytest.raises(PolyEpoError, match=r"POLY_EPO_ROLLOUT_URLS: .*not on this machine"):
        params().vllm.addresses({URLS: "http://10.0.0.7:8100"})


def test_what_only_says_where_and_how_fast_is_no_part_of_a_runs_identity() -> None:
    one = params(urls=["http://127.0.0.1:1"], max_in_flight=7, servers=3).model_dump()
    assert one == params().model_dump()
    assert one != params(dtype="bfloat16").model_dump()


def test_the_transformers_engine_keeps_the_identity_it_had() -> None:
    expected = {"engine": "transformers", "max_new_tokens": 4, "batch_size": 256}
    assert params("transformers", dtype="bfloat16").model_dump() == expected
    assert params("transformers").model_dump(mode="json") == expected
