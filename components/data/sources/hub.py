"""Problems from a Hugging Face dataset: Parquet or JSON-lines files of one revision, read without running its code."""

from __future__ import annotations

import fnmatch
import json
import random
import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from components.data.params import HubSource
from components.data.rows import candidates_from_rows
from components.data.source import Candidate
from components.errors import PolyEpoError
from components.records import Problem

__all__ = ["HubProblems", "files_of_split"]

_COMMIT = re.compile(r"[0-9a-f]{40}")
_JSON_LINES = (".jsonl", ".ndjson")


class HubProblems:
    """The rows of one split of a dataset repository."""

    def __init__(self, params: HubSource) -> None:
        self._params = params

    def identity(self) -> dict[str, Any]:
        """The commit that the revision stands for now; a full commit hash is one, without asking the hub."""
        pinned = _COMMIT.fullmatch(self._params.revision)
        return {"commit": self._params.revision if pinned else self._repository[0]}

    def candidates(self, seed: int) -> list[Candidate]:
        """Every row of the split's files, in the order of their names.

        Raises:
            PolyEpoError: the hub cannot be reached, or the dataset, its files or its columns do not fit.
        """
        commit, names = self._repository
        rows = (row for name in self._matching(names) for row in self._rows(name, self._download(name, commit)))
        return candidates_from_rows(rows, domain=self._params.domain)

    def demonstrations(self, problem: Problem, *, count: int, wrong: int, rng: random.Random) -> list[str]:
        """None: a dataset of problems has no worked solutions in this domain's grammar."""
        return []

    @cached_property
    def _repository(self) -> tuple[str, list[str]]:
        """The commit and the names of its files."""
        # Imported when the hub is asked: no other source needs it.
        from huggingface_hub import HfApi  # noqa: PLC0415

        try:
            info = HfApi().dataset_info(self._params.name, revision=self._params.revision)
        except Exception as error:  # transport errors of the hub's HTTP library share no narrower base
            raise self._unreachable(error) from error
        return str(info.sha), [file.rfilename for file in info.siblings or ()]

    def _matching(self, names: list[str]) -> list[str]:
        matching = files_of_split(names, self._params.split, self._params.files)
        if not matching:
            raise PolyEpoError(
                f"no Parquet or JSON-lines files of split {self._params.split!r} among {len(names)} files",
                where=f"dataset {self._params.name}",
                value=self._params.files or None,
                remedy="name them in data.source.files, or use revision refs/convert/parquet",
            )
        return matching

    def _download(self, name: str, commit: str) -> Path:
        from huggingface_hub import hf_hub_download  # noqa: PLC0415

        try:
            return Path(hf_hub_download(self._params.name, name, repo_type="dataset", revision=commit))
        except Exception as error:  # transport errors of the hub's HTTP library share no narrower base
            raise self._unreachable(error) from error

    def _rows(self, name: str, path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
        columns = {"prompt": self._params.prompt_column, "answer": self._params.answer_column}
        if self._params.id_column is not None:
            columns["problem_id"] = self._params.id_column
        where = f"{self._params.name}/{name}"
        read = _json_rows if name.endswith(_JSON_LINES) else _parquet_rows
        for number, row in enumerate(read(path, where), start=1):
            missing = next((column for column in columns.values() if column not in row), None)
            if missing is not None:
                raise PolyEpoError(f"missing column {missing!r}", where=where, remedy=f"the file has {', '.join(row)}")
            ours = {name: row[theirs] for name, theirs in columns.items()}
            if self._params.instruction and isinstance(ours["prompt"], str):
                ours["prompt"] = f"{ours['prompt'].strip()}\n{self._params.instruction}"
            yield f"{where} row {number}", ours

    def _unreachable(self, error: Exception) -> PolyEpoError:
        return PolyEpoError(
            f"cannot read the dataset from the hub: {type(error).__name__}: {error}",
            where=f"dataset {self._params.name} at {self._params.revision}",
            remedy="check name, revision and network (HF_TOKEN for a gated one), or download the data "
            "and use data.source.kind: file",
        )


def files_of_split(names: list[str], split: str, patterns: list[str]) -> list[str]:
    """The data files that match one of ``patterns``, or, without patterns, whose path names ``split``.

    Without patterns JSON-lines files count only where no Parquet file fits: many datasets hold both.
    """
    parquet = sorted(name for name in names if name.endswith(".parquet"))
    lines = sorted(name for name in names if name.endswith(_JSON_LINES))
    if patterns:
        data = sorted([*parquet, *lines])
        return [name for name in data if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)]
    word = re.compile(rf"(?:^|[/._-]){re.escape(split)}(?:[/._-])")
    return [name for name in parquet if word.search(name)] or [name for name in lines if word.search(name)]


def _parquet_rows(path: Path, where: str) -> Iterator[Mapping[str, Any]]:
    try:
        yield from pq.read_table(path).to_pylist()
    except pa.ArrowInvalid as error:
        raise PolyEpoError(
            f"not a readable Parquet file: {error}", where=where, remedy="choose other data.source.files"
        ) from error


def _json_rows(path: Path, where: str) -> Iterator[Mapping[str, Any]]:
    with path.open(encoding="utf-8", errors="replace") as stream:
        for number, line in enumerate(stream, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                row = error
            if not isinstance(row, dict):
                raise PolyEpoError(
                    "not a JSON object", where=f"{where} line {number}", remedy="choose other data.source.files"
                )
            yield row
