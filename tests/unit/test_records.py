from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.errors import PolyEpoError
from components.records import (
    PROBLEM,
    ROLLOUT,
    SCORED_ROLLOUT,
    Problem,
    problems_from_table,
    problems_to_table,
    read_records,
    write_records,
)

PROBLEMS = [Problem(f"p{index}", "prompt\n", "answer", "domain", "train", '{"k": 1}') for index in range(5)]


def test_problems_make_the_round_trip(tmp_path: Path) -> None:
    write_records(tmp_path / "a.parquet", problems_to_table(PROBLEMS), PROBLEM)
    assert problems_from_table(read_records(tmp_path / "a.parquet", PROBLEM)) == PROBLEMS
    assert read_records(tmp_path / "a.parquet", PROBLEM, columns=["prompt"]).column_names == ["prompt"]


def test_a_scored_rollout_has_all_columns_of_a_rollout() -> None:
    assert SCORED_ROLLOUT.names[: len(ROLLOUT)] == ROLLOUT.names
    assert all(SCORED_ROLLOUT.field(name).equals(ROLLOUT.field(name)) for name in ROLLOUT.names)


def test_the_same_rows_give_the_same_bytes_however_they_are_chunked_and_ordered(tmp_path: Path) -> None:
    whole = problems_to_table(PROBLEMS)
    pieces = pa.concat_tables([whole.slice(0, 2), whole.slice(2)])
    turned = pieces.select(PROBLEM.names[::-1])
    for name, table in (("whole", whole), ("pieces", pieces), ("turned", turned)):
        write_records(tmp_path / name, table, PROBLEM)
    contents = {(tmp_path / name).read_bytes() for name in ("whole", "pieces", "turned")}
    assert len(contents) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.drop_columns(["answer"]), r"missing \['answer'\], unknown \[\]"),
        (lambda table: table.append_column("extra", pa.array(range(5))), r"missing \[\], unknown \['extra'\]"),
        (
            lambda table: table.set_column(0, "problem_id", pa.array(range(5))),
            "column 'problem_id' has type int64 -> it must be string",
        ),
    ],
)
def test_wrong_columns_are_named_when_reading_and_when_writing(tmp_path: Path, change, message: str) -> None:
    table = change(problems_to_table(PROBLEMS))
    with pytest.raises(PolyEpoError, match=f"written.parquet: .*{message}"):
        write_records(tmp_path / "written.parquet", table, PROBLEM)
    assert not (tmp_path / "written.parquet").exists()
    pq.write_table(table, tmp_path / "read.parquet")
    with pytest.raises(PolyEpoError, match=f"read.parquet: .*{message}"):
        read_records(tmp_path / "read.parquet", PROBLEM)


def test_a_missing_value_is_refused(tmp_path: Path) -> None:
    table = problems_to_table(PROBLEMS)
    table = table.set_column(2, "answer", pa.array(["a", None, "c", "d", "e"]))
    with pytest.raises(PolyEpoError, match="column 'answer' has missing values"):
        write_records(tmp_path / "a.parquet", table, PROBLEM)


def test_missing_and_damaged_files_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(PolyEpoError, match=r"none.parquet: file not found -> run the stage that makes it"):
        read_records(tmp_path / "none.parquet", PROBLEM)
    good = tmp_path / "good.parquet"
    write_records(good, problems_to_table(PROBLEMS), PROBLEM)
    for name, content in {
        "text": b"not parquet",
        "empty": b"",
        "cut": good.read_bytes()[:-20],
        "overwritten": b"PAR1" + b"\xff" * 120 + good.read_bytes()[124:],
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(PolyEpoError, match=f"{name}: not a readable Parquet file"):
            read_records(tmp_path / name, PROBLEM)
