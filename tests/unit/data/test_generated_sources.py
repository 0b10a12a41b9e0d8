"""The sources that make their problems, and the hub source against a stand-in for the network."""

import json
import random
import types

import huggingface_hub
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import reasoning_gym

from components.data.params import HubSource, MultiplicationSource, PolynomialSource, ReasoningGymSource
from components.data.source import open_source
from components.data.sources.hub import files_of_split
from components.data.split import split_candidates
from components.domains import get_domain
from components.errors import PolyEpoError


@pytest.mark.parametrize(
    ("params", "count"),
    [(PolynomialSource(), 361), (MultiplicationSource(kind="multiplication", size=40), 40)],
)
def test_demonstrations_hold_exactly_the_wrong_ones_asked_for(params, count):
    source = open_source(params)
    candidates = source.candidates(0)
    assert len({candidate.prompt for candidate in candidates}) == count
    problem = split_candidates(candidates, seed=0, validation=1, test=1).train[0]
    shown = source.demonstrations(problem, count=20, wrong=6, rng=random.Random(0))
    rewards = [get_domain(problem.domain).verify(problem, completion).reward for completion in shown]
    assert (len(rewards), sum(rewards)) == (20, 14.0)


def test_more_products_than_there_are_pairs_are_refused():
    with pytest.raises(PolyEpoError, match=r"data.source.size: only 64 pairs of factors exist \(got 65\)"):
        open_source(MultiplicationSource(kind="multiplication", left_digits=1, right_digits=1, size=65)).candidates(0)


def gym(task: str, **config):
    return open_source(ReasoningGymSource(kind="reasoning_gym", task=task, size=5, config=config))


def test_a_kept_gym_problem_is_enough_for_its_own_scorer():
    problem = gym("basic_arithmetic", min_terms=2).candidates(3)[2]
    kept = json.loads(problem.metadata)
    score = reasoning_gym.get_score_answer_fn(kept["task"])
    assert score(problem.answer, kept["entry"]) == 1.0
    assert "<answer>" in problem.prompt


def test_tagged_answers_are_demonstrations_where_asked_for():
    source = open_source(
        ReasoningGymSource(
            kind="reasoning_gym", task="chain_sum", size=8, instruction="Answer in tags.", answer_demonstrations=True
        )
    )
    problem = source.candidates(0)[3]
    assert problem.prompt.endswith("\nAnswer in tags.")
    shown = source.demonstrations(problem, count=4, wrong=1, rng=random.Random(0))
    assert shown[:3] == [f"<answer>{problem.answer}</answer>"] * 3
    assert shown[3].startswith("<answer>")
    assert shown[3] != shown[0]
    plain = gym("chain_sum")
    assert plain.demonstrations(plain.candidates(0)[0], count=4, wrong=1, rng=random.Random(0)) == []


def test_gym_problems_depend_on_the_seed_alone():
    assert gym("chain_sum").candidates(1) == gym("chain_sum").candidates(1)
    assert gym("chain_sum").candidates(1) != gym("chain_sum").candidates(2)


@pytest.mark.parametrize(
    ("task", "config", "message"),
    [
        ("chess_master", {}, "has no such task.*known: ab, acre"),
        ("basic_arithmetic", {"min_terms": -1}, "refuses its config: min_terms must be positive"),
        ("basic_arithmetic", {"terms": 1}, "refuses its config: .*unexpected keyword argument 'terms'"),
        ("rearc", {}, "does not accept entries that were kept as JSON"),
    ],
)
def test_unusable_gym_tasks_are_refused(task, config, message):
    with pytest.raises(PolyEpoError, match=message):
        gym(task, **config).candidates(0)


HUB = HubSource(kind="hub", name="org/set", revision="main", prompt_column="question")


def stand_in(monkeypatch, tmp_path, names, rows):
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "rows.parquet")
    info = types.SimpleNamespace(sha="c0ffee", siblings=[types.SimpleNamespace(rfilename=name) for name in names])
    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", lambda self, name, revision: info)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *args, **kwargs: str(tmp_path / "rows.parquet"))


def test_hub_rows_are_read_at_the_commit(monkeypatch, tmp_path):
    stand_in(
        monkeypatch, tmp_path, ["README.md", "data/train-0.parquet"], [{"question": "1+1?", "answer": "2", "x": 1}]
    )
    source = open_source(HUB)
    assert source.identity() == {"commit": "c0ffee"}
    assert [(c.prompt, c.answer, c.origin) for c in source.candidates(0)] == [
        ("1+1?", "2", "org/set/data/train-0.parquet row 1")
    ]


@pytest.mark.parametrize(
    ("names", "rows", "message"),
    [
        (
            ["a.csv", "data/test-0.parquet"],
            [{"question": "a", "answer": "b"}],
            "no Parquet or JSON-lines files",
        ),
        (["train.parquet"], [{"q": "a", "answer": "b"}], "missing column 'question' -> the file has q, answer"),
        (["train.parquet"], [{"question": "a", "answer": ""}], "train.parquet row 1: column 'answer' is empty"),
    ],
)
def test_unusable_hub_datasets_are_refused(monkeypatch, tmp_path, names, rows, message):
    stand_in(monkeypatch, tmp_path, names, rows)
    with pytest.raises(PolyEpoError, match=message):
        open_source(HUB).candidates(0)


def test_no_network_is_one_line(monkeypatch):
    def offline(self, name, revision):
        raise ConnectionError("no route to host")

    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", offline)
    with pytest.raises(PolyEpoError, match=r"dataset org/set at main: cannot read .*no route to host -> .*kind: file"):
        open_source(HUB).identity()


def test_files_of_a_split():
    names = [
        "data/train-00000-of-1.parquet",
        "data/test-00000-of-1.parquet",
        "main/train/0000.parquet",
        "constraint.parquet",
    ]
    assert files_of_split(names, "train", []) == ["data/train-00000-of-1.parquet", "main/train/0000.parquet"]
    assert files_of_split(names, "train", ["main/*"]) == ["main/train/0000.parquet"]
