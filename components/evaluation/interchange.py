"""Samples made elsewhere come in, and ours go out, in the log format of lm-evaluation-harness.

Two kinds of line are read, told apart by their keys:

    {"problem_id": "a", "completion": "... <answer>42</answer>"}                        plain JSON lines
    {"doc_id": 0, "doc": {...}, "target": "42", "resps": [["...", "..."]], ...}         samples_*.jsonl of the harness

Completions are hostile text: they are kept as text, cleaned of what cannot be written as UTF-8, and only ever judged
by a verifier with its limits.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from components.data.params import ANSWER_INSTRUCTION
from components.data.split import normalise_prompt
from components.errors import PolyEpoError
from components.records import ROLLOUT, FinishReason, Problem

__all__ = ["ImportedSamples", "read_samples"]

ENGINE = "import"
_TEXT_KEYS = ("prompt", "problem", "question", "query", "Problem", "Question")
_ID_KEYS = ("problem_id", "unique_id", "id", "problem_idx")
_SAMPLING_KEYS = {"temperature": "temperature", "top_p": "top_p", "max_gen_toks": "max_new_tokens"}
_LIMIT = 64 * 2**20  # bytes of one line
_PLAIN = 'a plain line is {"problem_id": "a", "completion": "text"}'


@dataclass(frozen=True)
class ImportedSamples:
    """What a file of samples holds.

    Attributes:
        rollouts: ROLLOUT table, by problem and sample index; no tokens, no log-probabilities.
        samples: completions per problem, the same for all.
        sampling: temperature, top_p and max_new_tokens as far as the file states them, alike on every line.
    """

    rollouts: pa.Table
    samples: int
    sampling: dict[str, float | int | None]


@dataclass
class _Collected:
    """Completions (with finish reason) by problem, and what was said about sampling."""

    completions: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    sampling: list[dict[str, Any]] = field(default_factory=list)


def read_samples(path: Path, problems: Sequence[Problem], *, samples: int | None = None) -> ImportedSamples:
    """Read the completions of ``problems`` from a file of either kind.

    Args:
        path: JSON lines.
        problems: what the completions answer; every one needs samples.
        samples: use the first so many of each problem; by default all, which must then be equally many.

    Raises:
        PolyEpoError: a line is malformed or belongs to no problem (file and line are named), a problem has no or
            too few samples, or the numbers differ.
    """
    collected = _Collected()
    matcher = _Matcher(problems)
    for where, row in _rows(path):
        if "resps" in row:
            _take_harness(row, where, matcher, collected)
        else:
            _take_plain(row, where, matcher, collected)
    counts = {problem.problem_id: len(collected.completions.get(problem.problem_id, [])) for problem in problems}
    wanted = samples if samples is not None else max(counts.values(), default=0)
    short = [f"{name} has {count}" for name, count in counts.items() if count < max(wanted, 1)]
    if short:
        raise PolyEpoError(
            f"{len(short)} of {len(problems)} problems have fewer than {max(wanted, 1)} samples",
            where=str(path),
            value=short[:3],
            remedy="lower --samples to what every problem has, or give the problems that were sampled alone",
        )
    rows = [
        _row(problem.problem_id, index, *collected.completions[problem.problem_id][index])
        for problem in problems
        for index in range(wanted)
    ]
    return ImportedSamples(pa.Table.from_pylist(rows, schema=ROLLOUT), wanted, _agreed(collected.sampling))


class _Matcher:
    """Which of the problems a line of a file belongs to."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self._ids = {problem.problem_id for problem in problems}
        self._by_prompt = {_bare(problem.prompt): problem.problem_id for problem in problems}

    def by_id(self, name: object, where: str) -> str:
        """The problem with this id."""
        if not isinstance(name, str) or name not in self._ids:
            raise PolyEpoError(
                "'problem_id' names no problem of the set" if isinstance(name, str) else "'problem_id' is not text",
                where=where,
                value=name,
                remedy="give --problems the file that was sampled from",
            )
        return name

    def by_document(self, document: Mapping[str, Any], where: str) -> str:
        """The problem that a harness document is, by its id or by its text."""
        for key in _ID_KEYS:
            if str(document.get(key)) in self._ids and not isinstance(document.get(key), dict | list):
                return str(document[key])
        for key in _TEXT_KEYS:
            text = document.get(key)
            if isinstance(text, str) and _bare(text) in self._by_prompt:
                return self._by_prompt[_bare(text)]
        raise PolyEpoError(
            "'doc' is no problem of the set, neither by its id nor by its text",
            where=where,
            value=list(document)[:8],
            remedy=f"its id must be in one of {', '.join(_ID_KEYS)}, or its text in one of {', '.join(_TEXT_KEYS)}",
        )


def _rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        with path.open("rb") as stream:
            number = 0
            while line := stream.readline(_LIMIT + 1):
                number += 1
                if line.strip():
                    yield f"{path} line {number}", _object(line, f"{path} line {number}")
    except OSError as error:
        raise PolyEpoError(
            f"cannot read the samples: {error.strerror}", where=str(path), remedy="mend --import"
        ) from error


def _object(line: bytes, where: str) -> dict[str, Any]:
    if len(line) > _LIMIT:
        raise PolyEpoError("the line is longer than 64 MiB", where=where, remedy="split it: one completion a line")
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise PolyEpoError(f"not JSON: {error}", where=where, remedy=_PLAIN) from error
    if not isinstance(row, dict):
        raise PolyEpoError("not a JSON object", where=where, value=row, remedy=_PLAIN)
    return row


def _take_plain(row: dict[str, Any], where: str, matcher: _Matcher, collected: _Collected) -> None:
    problem_id = matcher.by_id(row.get("problem_id"), where)
    completion = _text(row.get("completion"), "completion", where)
    reason = row.get("finish_reason", str(FinishReason.STOP))
    if reason not in set(FinishReason):
        raise PolyEpoError(
            "'finish_reason' is not known", where=where, value=reason, remedy=f"one of {', '.join(FinishReason)}"
        )
    collected.completions.setdefault(problem_id, []).append((completion, str(reason)))
    collected.sampling.append({key: row[key] for key in _SAMPLING_KEYS.values() if key in row})


def _take_harness(row: dict[str, Any], where: str, matcher: _Matcher, collected: _Collected) -> None:
    document, responses = row.get("doc"), row["resps"]
    if not isinstance(document, dict):
        raise PolyEpoError("'doc' is not an object", where=where, value=document, remedy="write it with --log_samples")
    if not isinstance(responses, list) or len(responses) != 1 or not isinstance(responses[0], list):
        raise PolyEpoError(
            "'resps' is not one list of generations",
            where=where,
            value=responses,
            remedy="only tasks of output type generate_until hold completions",
        )
    problem_id = matcher.by_document(document, where)
    # The harness writes a document once for each of its filters, with the same raw responses.
    filter_name = str(row.get("filter", ""))
    previous = collected.completions.get(problem_id)
    texts = [_text(text, "resps", where) for text in responses[0]]
    if previous is not None:
        if [text for text, _ in previous] == texts and filter_name:
            return
        raise PolyEpoError("the problem was sampled twice", where=where, value=problem_id, remedy="remove one of them")
    collected.completions[problem_id] = [(text, str(FinishReason.STOP)) for text in texts]
    collected.sampling.append(_harness_sampling(row.get("arguments")))


def _harness_sampling(arguments: object) -> dict[str, Any]:
    """What the generation arguments of a line say: ``{"gen_args_0": {"arg_0": prompt, "arg_1": {...}}}``."""
    first = arguments.get("gen_args_0") if isinstance(arguments, dict) else None
    settings = first.get("arg_1") if isinstance(first, dict) else None
    if not isinstance(settings, dict):
        return {}
    said = {ours: settings[theirs] for theirs, ours in _SAMPLING_KEYS.items() if theirs in settings}
    return {**said, "temperature": 0.0} if settings.get("do_sample") is False else said


def _agreed(lines: list[dict[str, Any]]) -> dict[str, float | int | None]:
    """The value of each setting that all lines state alike, else None."""
    agreed: dict[str, float | int | None] = {}
    for name in _SAMPLING_KEYS.values():
        values = {json.dumps(line.get(name)) for line in lines}
        value = json.loads(values.pop()) if len(values) == 1 else None
        agreed[name] = value if isinstance(value, int | float) and not isinstance(value, bool) else None
    return agreed


def _text(value: object, key: str, where: str) -> str:
    if not isinstance(value, str):
        raise PolyEpoError(f"{key!r} is not text", where=where, value=value, remedy=_PLAIN)
    # JSON can hold halves of surrogate pairs, which no UTF-8 file can.
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _bare(prompt: str) -> str:
    """A prompt as two files agree on it: without our instruction, case and white space set aside."""
    return normalise_prompt(prompt.removesuffix(ANSWER_INSTRUCTION))


def _row(problem_id: str, index: int, completion: str, finish_reason: str) -> dict[str, Any]:
    return {
        "problem_id": problem_id,
        "sample_index": index,
        "prompt_ids": [],
        "completion_ids": [],
        "rollout_logprobs": [],
        "completion": completion,
        "finish_reason": finish_reason,
        "policy_version": 0,
        "engine": ENGINE,
        "seed": 0,
    }
