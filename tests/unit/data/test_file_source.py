"""The user's own file: every fault is one line with file, line and column; nothing half-read."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.data.params import FileSource
from components.data.source import open_source
from components.errors import PolyEpoError

GOOD = {"prompt": "1+1?", "answer": "2"}


def read(path):
    return open_source(FileSource(kind="file", path=str(path))).candidates(0)


def jsonl(path, *rows):
    path.write_text(
        "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows), encoding="utf-8"
    )
    return path


def test_the_three_kinds_of_file_hold_the_same_problems(tmp_path):
    rows = [
        {"problem_id": "a", **GOOD, "metadata": '{"level": 3}'},
        {"problem_id": "b", "prompt": 'x, "y"', "answer": "3"},
    ]
    one = jsonl(tmp_path / "p.jsonl", *rows)
    two = tmp_path / "p.csv"
    two.write_text(
        '\ufeffproblem_id,prompt,answer,metadata\na,1+1?,2,"{""level"": 3}"\nb,"x, ""y""",3,\n', encoding="utf-8"
    )
    three = tmp_path / "p.parquet"
    pq.write_table(pa.Table.from_pylist(rows), three)
    read_rows = [
        [(c.problem_id, c.prompt, c.answer, c.domain, c.metadata) for c in read(path)] for path in (one, two, three)
    ]
    assert read_rows[0] == [("a", "1+1?", "2", "math", '{"level": 3}'), ("b", 'x, "y"', "3", "math", "{}")]
    assert read_rows[1] == read_rows[0]
    assert read_rows[2] == read_rows[0]


def test_ids_are_made_from_prompts_and_do_not_depend_on_order(tmp_path):
    rows = [GOOD, {"prompt": "2+2?", "answer": 4}]
    one, two = read(jsonl(tmp_path / "1.jsonl", *rows)), read(jsonl(tmp_path / "2.jsonl", *rows[::-1]))
    assert {c.prompt: c.problem_id for c in one} == {c.prompt: c.problem_id for c in two}
    assert one[1].answer == "4"


def test_a_repeated_prompt_is_no_clash_of_ids(tmp_path):
    ids = [candidate.problem_id for candidate in read(jsonl(tmp_path / "p.jsonl", GOOD, GOOD))]
    assert len(set(ids)) == 2


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"prompt": "a", "answer" "b"}', r"line 2: not JSON at column 26"),
        ("[1, 2]", r"line 2: not a JSON object"),
        ('{"prompt": "a"}', r"line 2: missing column 'answer'"),
        ('{"prompt": "a", "answer": "b", "anser": 1}', r"line 2: unknown column 'anser'.*metadata"),
        ('{"prompt": "  ", "answer": "b"}', r"line 2: column 'prompt' is empty"),
        ('{"prompt": "a", "answer": null}', r"line 2: column 'answer' is empty"),
        ('{"prompt": ["a"], "answer": "b"}', r"line 2: column 'prompt' is not text \(got \['a'\]\)"),
        ('{"prompt": "a", "answer": true}', r"line 2: column 'answer' is not text"),
        (
            '{"prompt": "a", "answer": "b", "split": "dev"}',
            r"line 2: column 'split' names no split .*train, validation, test",
        ),
        ('{"prompt": "a", "answer": "b", "metadata": "{"}', r"line 2: column 'metadata' is not JSON"),
        ('{"prompt": "a", "answer": "b", "metadata": [1]}', r"line 2: column 'metadata' is not a JSON object"),
        ('{"prompt": "a", "answer": "b", "domain": "polynomial"}', r"line 2: metadata of a polynomial problem"),
        pytest.param("[" * 100_000, r"line 2: not JSON", id="deeply nested"),
    ],
)
def test_a_malformed_line_is_named(tmp_path, line, message):
    path = jsonl(tmp_path / "p.jsonl", GOOD, line)
    with pytest.raises(PolyEpoError, match=message) as caught:
        read(path)
    assert str(path) in caught.value.line()
    assert "->" in caught.value.line()
    assert "\n" not in caught.value.line()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prompt,answer\n1+1?\n", r"line 2: 1 cells where the header has 2, from column 'answer' on"),
        ("prompt,answer\na,b,c\n", r"line 2: 3 cells where the header has 2"),
        ("question,answer\na,b\n", r"line 1: missing column 'prompt'"),
        ("prompt,answer,prompt\na,b,c\n", r"line 1: repeated column 'prompt'"),
        ('prompt,answer\n"a,b\n', r"line 2: not CSV"),
        ("prompt,answer\na,\n", r"line 2: column 'answer' is empty"),
    ],
)
def test_a_malformed_csv_row_is_named(tmp_path, text, message):
    path = tmp_path / "p.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(PolyEpoError, match=message):
        read(path)


@pytest.mark.parametrize(
    ("name", "content"), [("p.jsonl", ""), ("p.jsonl", "\n\n"), ("p.csv", ""), ("p.csv", "prompt,answer\n")]
)
def test_an_empty_file_is_refused(tmp_path, name, content):
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(PolyEpoError, match="holds no problems"):
        read(tmp_path / name)


def test_bytes_that_are_not_utf8_are_named_by_line_and_column(tmp_path):
    path = tmp_path / "p.jsonl"
    path.write_bytes(json.dumps(GOOD).encode() + b'\n{"prompt": "\xff"}\n')
    with pytest.raises(PolyEpoError, match=r"line 2: not UTF-8 at column 13"):
        read(path)


def test_missing_unknown_and_damaged_files_are_refused(tmp_path):
    with pytest.raises(PolyEpoError, match="data file not found"):
        read(tmp_path / "none.jsonl")
    (tmp_path / "p.xlsx").write_bytes(b"PK")
    with pytest.raises(PolyEpoError, match=r"unknown kind of data file -> name it with \.jsonl"):
        read(tmp_path / "p.xlsx")
    (tmp_path / "p.parquet").write_bytes(b"not parquet")
    with pytest.raises(PolyEpoError, match="not a readable Parquet file"):
        read(tmp_path / "p.parquet")


def test_a_parquet_row_is_named(tmp_path):
    pq.write_table(pa.Table.from_pylist([GOOD, {"prompt": "a", "answer": None}]), tmp_path / "p.parquet")
    with pytest.raises(PolyEpoError, match=r"p.parquet row 2: column 'answer' is empty"):
        read(tmp_path / "p.parquet")
