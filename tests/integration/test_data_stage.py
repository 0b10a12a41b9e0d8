"""The data stage as it is run: published, deterministic, idempotent, and never half-written."""

import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from components.data.params import DataParams
from components.data.stage import make_data
from components.errors import PolyEpoError
from components.records import DEMONSTRATION, PROBLEM, read_records

PARAMS = Path(__file__).parents[2] / "params.yaml"
SOURCES = [
    {"kind": "polynomial", "coefficient_range": 3},
    {"kind": "multiplication", "size": 30},
    {"kind": "reasoning_gym", "task": "chain_sum", "size": 30},
]


def params(**values) -> DataParams:
    small = {"validation": 5, "test": 8, "demonstrations": {"per_problem": 4}}
    return DataParams.model_validate({**small, **values})


def content(directory) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source["kind"])
def test_the_same_params_give_the_same_bytes(tmp_path, source):
    make_data(params(source=source), tmp_path / "one")
    make_data(params(source=source), tmp_path / "two")
    make_data(params(source=source, seed=1), tmp_path / "three")
    assert content(tmp_path / "one") == content(tmp_path / "two")
    assert content(tmp_path / "one")["test.parquet"] != content(tmp_path / "three")["test.parquet"]


def test_files_hold_the_contract(tmp_path):
    make_data(params(source=SOURCES[0]), tmp_path / "data")
    sizes = {
        name: read_records(tmp_path / f"data/{name}.parquet", PROBLEM).num_rows
        for name in ("train", "validation", "test")
    }
    demonstrations = read_records(tmp_path / "data/demonstrations.parquet", DEMONSTRATION)
    train = set(pq.read_table(tmp_path / "data/train.parquet")["problem_id"].to_pylist())
    assert sizes == {"train": 36, "validation": 5, "test": 8}
    assert demonstrations.num_rows == 36 * 4
    assert set(demonstrations["problem_id"].to_pylist()) == train


def test_published_data_is_not_made_again_until_its_input_changes(tmp_path):
    file, out = tmp_path / "p.jsonl", tmp_path / "data"
    rows = [json.dumps({"prompt": f"{n}+1?", "answer": str(n + 1)}) for n in range(20)]
    file.write_text("\n".join(rows))
    own = params(source={"kind": "file", "path": str(file)})
    make_data(own, out)
    first = (out / "train.parquet").stat().st_mtime_ns
    make_data(own, out)
    assert (out / "train.parquet").stat().st_mtime_ns == first
    file.write_text("\n".join([*rows, json.dumps({"prompt": "new", "answer": "1"})]))
    make_data(own, out)
    assert json.loads((out / "manifest.json").read_text())["facts"]["train"] == 8


def test_a_leaking_file_leaves_nothing_behind(tmp_path):
    file = tmp_path / "p.jsonl"
    rows = [{"prompt": "one", "answer": "1", "split": "train"}, {"prompt": "One ", "answer": "1", "split": "test"}]
    file.write_text("\n".join(json.dumps(row) for row in rows))
    with pytest.raises(PolyEpoError, match=r"p.jsonl line 1 \(train\) and .*p.jsonl line 2 \(test\)"):
        make_data(params(source={"kind": "file", "path": str(file)}), tmp_path / "data")
    assert [path.name for path in tmp_path.iterdir()] == ["p.jsonl"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("{sead: 0}", "unknown key 'data.sead'"),
        ("{seed: zero}", "data.seed: Input should be a valid integer (got 'zero')"),
        ("{source: {kind: file, path: none.jsonl}}", "none.jsonl: data file not found"),
    ],
)
def test_the_command_refuses_bad_input_with_one_line(tmp_path, data, message):
    document = yaml.safe_load(PARAMS.read_text()) | {"data": yaml.safe_load(data)}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(document))
    command = [
        sys.executable,
        "-m",
        "components.data",
        "--params",
        tmp_path / "params.yaml",
        "--out",
        tmp_path / "data",
    ]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 2
    assert message in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert not (tmp_path / "data").exists()
