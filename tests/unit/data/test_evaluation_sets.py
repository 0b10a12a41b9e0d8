"""Named evaluation sets, CHAMP from its package, JSON-lines hub files, and the user's own file as a set."""

from __future__ import annotations

import importlib
import json
import re
import types
from pathlib import Path

import huggingface_hub
import pytest

from components.data.evaluation_sets import EVALUATION_SETS
from components.data.params import ANSWER_INSTRUCTION, ChampSource, HubSource
from components.data.sets import named_set, problems_of_file, slice_of, spread
from components.data.source import open_source
from components.data.sources.champ_answers import checkable_answer
from components.errors import PolyEpoError
from components.records import PROBLEM, Problem, problems_from_table, problems_to_table, read_records, write_records


def champ_entry(text: str, answer: str, category: str = "Polynomial") -> dict[str, object]:
    return {"_text": text, "_answer": answer, "category": category, "ch_list": ["C_a", "H_b", "C_a"]}


@pytest.fixture
def champ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for the package: two problems with checkable answers, one with prose."""
    data = tmp_path / "site" / "champ_dataset" / "dataset_files"
    data.mkdir(parents=True)
    (data.parent / "__init__.py").write_text("raise RuntimeError('its code must not run')")
    problems = {
        "P_Polynomial_1": champ_entry("What is 2+2?", "4 (i.e., all of them)"),
        "P_Polynomial_2": champ_entry("Is it?", "No"),
        "P_Sequence_1": champ_entry("The limit?", "The limit exists and is equal to 2/3", "Sequence"),
    }
    concepts = {"C_a": {"_text": "binomial theorem"}}
    (data / "v0.json").write_text(json.dumps({"problems": problems, "concepts": concepts, "hints": {}}))
    monkeypatch.syspath_prepend(tmp_path / "site")
    importlib.invalidate_caches()
    return data / "v0.json"


@pytest.mark.usefixtures("champ")
def test_champ_holds_the_problems_whose_answer_is_a_value() -> None:
    first, second = open_source(ChampSource(kind="champ")).candidates(0)
    assert (first.problem_id, first.answer, first.domain) == ("champ:Polynomial_1", "4", "math")
    assert first.prompt == f"What is 2+2?\n{ANSWER_INSTRUCTION}"
    assert json.loads(first.metadata) == {"category": "Polynomial", "concepts": ["C_a"]}
    assert second.answer == "2/3"
    (only,) = open_source(ChampSource(kind="champ", categories=["Sequence"])).candidates(0)
    assert only == second


@pytest.mark.usefixtures("champ")
def test_an_unknown_category_is_refused() -> None:
    with pytest.raises(PolyEpoError, match=r"no problem of these categories.*known: Polynomial, Sequence"):
        open_source(ChampSource(kind="champ", categories=["Topology"])).candidates(0)


def test_without_the_package_the_command_that_installs_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(PolyEpoError, match=r"not installed -> pip install --no-deps champ-dataset==1\.0\.0"):
        open_source(ChampSource(kind="champ")).identity()


def test_a_damaged_package_is_one_line(champ: Path) -> None:
    champ.write_text('{"problems": {"P_1": {}}, "concepts": {}}')
    with pytest.raises(PolyEpoError, match="not the data file of champ-dataset"):
        open_source(ChampSource(kind="champ")).candidates(0)


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        ("239", "239"),
        ("98 values", "98"),
        ("-3 is the only possible value", "-3"),
        ("5/14, or approximately 35.7%", "5/14"),
        ("The only possible value for the limit is sqrt(a)", "sqrt(a)"),
        ("(x+y+z)(x^2+y^2+z^2-xy-yz-xz)", "(x+y+z)(x^2+y^2+z^2-xy-yz-xz)"),
        ("x=16 and x=81", "x=16 and x=81"),
        ("Yes", None),
        ("C(10, 5), or equivalently 252", None),
        ("sum_(k=1)^n 1/k", None),
        ("n!/(2n)", None),
        ("At least 1 number", None),
        ("", None),
    ],
)
def test_values_in_prose(answer: str, value: str | None) -> None:
    assert checkable_answer(answer) == value


@pytest.mark.usefixtures("champ")
def test_a_set_is_made_once_and_checked_against_its_known_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PolyEpoError, match="holds 2 problems where 188 are known"):
        named_set("champ", tmp_path / "sets")
    chosen = EVALUATION_SETS["champ"]
    monkeypatch.setitem(EVALUATION_SETS, "champ", type(chosen)(chosen.title, chosen.source, 2))
    file = named_set("champ", tmp_path / "sets")
    problems = problems_from_table(read_records(file, PROBLEM))
    assert [(problem.problem_id, problem.split) for problem in problems] == [
        ("champ:Polynomial_1", "test"),
        ("champ:Sequence_1", "test"),
    ]
    before = file.stat().st_mtime_ns
    assert named_set("champ", tmp_path / "sets").stat().st_mtime_ns == before


def test_an_unknown_set_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(PolyEpoError, match=r"no evaluation set of this name.*aime_2025"):
        named_set("aime_1999", tmp_path)


def test_every_hub_set_is_pinned_but_the_one_that_says_so() -> None:
    unpinned = [
        name
        for name, entry in EVALUATION_SETS.items()
        if isinstance(entry.source, HubSource) and not re.fullmatch(r"[0-9a-f]{40}", entry.source.revision)
    ]
    assert unpinned == ["hmmt_nov_2025"]


def test_json_lines_of_a_pinned_hub_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"unique_id": "a/1", "problem": "1+1?", "answer": 2, "level": 1}\n\n')
    asked = []

    def info(self: object, name: str, revision: str) -> types.SimpleNamespace:
        asked.append(revision)
        return types.SimpleNamespace(sha=revision, siblings=[types.SimpleNamespace(rfilename="test.jsonl")])

    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", info)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *_, **__: str(tmp_path / "rows.jsonl"))
    source = open_source(EVALUATION_SETS["math_500"].source)
    # The commit is known without asking: a set that was made needs no network any more.
    assert source.identity() == {"commit": "6e4ed1a2a79af7d8630a6b768ec859cb5af4d3be"}
    assert asked == []
    (problem,) = source.candidates(0)
    assert (problem.problem_id, problem.answer) == ("a/1", "2")
    assert problem.prompt == f"1+1?\n{ANSWER_INSTRUCTION}"
    (tmp_path / "rows.jsonl").write_text("[1]\n")
    with pytest.raises(PolyEpoError, match=r"test.jsonl line 1: not a JSON object"):
        open_source(EVALUATION_SETS["math_500"].source).candidates(0)


def test_the_users_own_file_becomes_a_set(tmp_path: Path) -> None:
    own = tmp_path / "mine.jsonl"
    own.write_text('{"problem_id": "a", "prompt": "6*7?", "answer": "42"}\n')
    file = problems_of_file(own, tmp_path / "sets")
    (problem,) = problems_from_table(read_records(file, PROBLEM))
    assert (problem.problem_id, problem.domain) == ("a", "math")
    assert problems_of_file(file, tmp_path / "sets") == file
    own.write_text('{"problem_id": "a", "prompt": "6*7?", "answer": "42"}\n' * 2)
    with pytest.raises(PolyEpoError, match=r"mine.jsonl line 2: problem_id is not unique"):
        problems_of_file(own, tmp_path / "sets")


def test_a_slice_is_spread_over_the_whole_set(tmp_path: Path) -> None:
    problems = [Problem(f"p{i}", f"q{i}", "1", "math", "test") for i in range(10)]
    file = tmp_path / "problems.parquet"
    write_records(file, problems_to_table(problems), PROBLEM)
    part = problems_from_table(read_records(slice_of(file, 3, tmp_path), PROBLEM))
    assert [problem.problem_id for problem in part] == ["p1", "p5", "p8"]
    assert slice_of(file, 10, tmp_path) == file
    assert spread(7, 7) == list(range(7))
