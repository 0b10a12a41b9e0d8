"""The judge is asked about finished groups while others are still sampled; what a step makes does not depend on it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from components.improve.session import Session
from components.improve.workspace import Step
from components.params import Params, merge_overlay, parse_params
from components.records import PROBLEM, ROLLOUT, SCORED_ROLLOUT, problems_from_table, read_records
from components.scoring.params import ScoringParams
from components.scoring.scorer import Scorer
from tests.unit.improve.small import ARM, document, publish_inputs
from tests.unit.rollout.fake_vllm import fake_vllm
from tests.unit.scoring.fake_judge import FakeJudge, fake_judge

PROMPTS = 4


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return publish_inputs(tmp_path_factory.mktemp("inputs"))


@pytest.fixture
def judge() -> Iterator[FakeJudge]:
    with fake_judge() as running:
        # The fake sampler's completions are a digit or two with spaces around them: one strategy for each text.
        running.otherwise = lambda attempts: {
            str(number): {"strategy": "s", "cluster": number} for number in range(1, len(attempts) + 1)
        }
        yield running


def settings(server: str, judge: FakeJudge, root: Path) -> Params:
    changes = {
        "rollout": {"engine": "vllm", "vllm": {"urls": [server], "max_in_flight": 8}},
        "scoring": {"clusterer": "judge", "judge": judge.params(root).model_dump()},
    }
    return parse_params(merge_overlay(document(prompts_per_iteration=PROMPTS), changes))


def session(params: Params, inputs: tuple[Path, Path], root: Path) -> Any:
    return Session.open(params, arm=ARM, base=inputs[0], problems=inputs[1], out=root / ARM, state=root / "state")


def test_the_judge_is_asked_while_groups_are_sampled(
    inputs: tuple[Path, Path], judge: FakeJudge, tmp_path: Path
) -> None:
    answered = threading.Event()
    in_time: list[bool] = []
    clusters = judge.otherwise

    def answer(attempts: list[str]) -> Any:
        answered.set()
        return clusters(attempts)

    def before_answer(number: int) -> None:
        # The last group is held back until the judge was asked about another: were scoring to wait for it, it would
        # never be.
        if number == PROMPTS - 1:
            in_time.append(answered.wait(30))

    judge.otherwise = answer
    with fake_vllm() as (server, url):
        server.before_answer = before_answer
        with session(settings(url, judge, tmp_path), inputs, tmp_path) as opened:
            opened.run(Step(1, "rollout"))
            opened.run(Step(1, "score"))
    assert in_time == [True]
    assert len(judge.bodies) == PROMPTS
    _assert_scored_alike(judge, inputs, tmp_path)


def test_questions_that_were_answered_before_a_kill_are_not_asked_again(
    inputs: tuple[Path, Path], judge: FakeJudge, tmp_path: Path
) -> None:
    with fake_vllm() as (_, url):
        with session(settings(url, judge, tmp_path), inputs, tmp_path) as opened:
            opened.run(Step(1, "rollout"))
        with session(settings(url, judge, tmp_path), inputs, tmp_path) as opened:
            opened.run(Step(1, "score"))
    assert len(judge.bodies) == PROMPTS


def test_a_judge_that_is_down_while_groups_are_sampled_costs_nothing(
    inputs: tuple[Path, Path], judge: FakeJudge, tmp_path: Path
) -> None:
    models, judge.models = judge.models, {"data": []}  # "serves no model of this name": nobody is asked
    with fake_vllm() as (_, url), session(settings(url, judge, tmp_path), inputs, tmp_path) as opened:
        opened.run(Step(1, "rollout"))
        assert judge.bodies == []
        judge.models = models
        metrics = opened.run(Step(1, "score"))
    assert (metrics["judge_groups"], metrics["judge_failures"]) == (PROMPTS, 0.0)
    assert len(judge.bodies) == PROMPTS


def _assert_scored_alike(judge: FakeJudge, inputs: tuple[Path, Path], root: Path) -> None:
    """The published scores are those of a scorer that is given the whole batch at once, with an empty cache."""
    iteration = root / ARM / "iterations" / "000001"
    rollouts = read_records(iteration / "rollouts" / "rollouts.parquet", ROLLOUT)
    train = problems_from_table(read_records(inputs[1] / "train.parquet", PROBLEM))
    params = ScoringParams.model_validate(
        document()["scoring"] | {"clusterer": "judge", "judge": judge.params(root / "elsewhere").model_dump()}
    )
    with Scorer(params, {"name": "poly_epo", "set_size": 4}) as scorer:
        scored = scorer.score(rollouts, train)
    assert scored.table.equals(read_records(iteration / "scored" / "scored.parquet", SCORED_ROLLOUT))
    assert len(judge.bodies) == 2 * PROMPTS
