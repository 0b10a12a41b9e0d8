"""Our samples in the log format of lm-evaluation-harness: one ``samples_*.jsonl`` and one ``results_*.json``.

The layout is that of version 0.4: a line for each problem with the document, the target, the generation arguments,
all raw responses, the filtered ones and the three hashes; metrics under ``"name,filter"`` with their standard errors.
The file names end in a date there; here it is always the same one, so that equal evaluations give equal bytes.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from components.errors import PolyEpoError
from components.evaluation.results import Evaluation, read_evaluation
from components.manifest import fingerprint, is_published, publish
from components.records import Problem

__all__ = ["export_samples"]

_DATE = "1970-01-01T00-00-00.000000"
_FILTER = "none"
_NOT_HIGHER_IS_BETTER = ("branches@", "completion_length", "token_entropy", "majority_share@")


def export_samples(evaluation: Path, problems: Sequence[Problem], out: Path, *, task: str = "poly_epo") -> bool:
    """Publish the samples and results of an evaluation in the harness's format at ``out``.

    Args:
        evaluation: directory of a published evaluation.
        problems: those it was made on.
        out: directory to publish.
        task: name of the task in the files.

    Returns:
        Whether anything was done.

    Raises:
        PolyEpoError: there is no evaluation, or it was made on other problems.
    """
    name = re.sub(r"\W", "_", task) or "task"
    read = read_evaluation(name, evaluation)
    content = fingerprint("lm-evaluation-harness", 1, read.digest, name)
    if is_published(out, content):
        return False
    if sorted(read.problem_ids) != sorted(problem.problem_id for problem in problems):
        raise PolyEpoError(
            "the evaluation was made on other problems", where=str(evaluation), remedy="give --problems its own file"
        )
    lines = _lines(read, pq.read_table(evaluation / "verified.parquet").to_pylist(), problems)
    with publish(out, fingerprint=content, facts={"problems": len(lines)}) as directory:
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        (directory / f"samples_{name}_{_DATE}.jsonl").write_text(text, encoding="utf-8")
        results = json.dumps(_results(read, name, lines), indent=2, ensure_ascii=False)
        (directory / f"results_{_DATE}.json").write_text(results, encoding="utf-8")
    return True


def _lines(evaluation: Evaluation, verified: list[dict[str, Any]], problems: Sequence[Problem]) -> list[dict[str, Any]]:
    by_problem: dict[str, list[dict[str, Any]]] = {}
    for row in verified:
        by_problem.setdefault(row["problem_id"], []).append(row)
    values = {row["problem_id"]: row for row in evaluation.per_problem.to_pylist()}
    return [
        _line(index, problem, by_problem[problem.problem_id], values[problem.problem_id], evaluation)
        for index, problem in enumerate(problems)
    ]


def _line(
    index: int, problem: Problem, rows: list[dict[str, Any]], values: dict[str, Any], evaluation: Evaluation
) -> dict[str, Any]:
    document = {
        "problem_id": problem.problem_id,
        "prompt": problem.prompt,
        "answer": problem.answer,
        "domain": problem.domain,
    }
    metrics = {name: values[name] for name in evaluation.metric_names}
    return {
        "doc_id": index,
        "doc": document,
        "target": problem.answer,
        "arguments": {"gen_args_0": {"arg_0": problem.prompt, "arg_1": _generation(evaluation)}},
        "resps": [[row["completion"] for row in rows]],
        "filtered_resps": [[row["parsed_answer"] or "[invalid]" for row in rows]],
        "filter": _FILTER,
        "metrics": list(metrics),
        "doc_hash": _sha256(json.dumps(document, indent=2, ensure_ascii=False)),
        "prompt_hash": _sha256(problem.prompt),
        "target_hash": _sha256(problem.answer),
        **metrics,
    }


def _results(evaluation: Evaluation, task: str, lines: list[dict[str, Any]]) -> dict[str, Any]:
    results: dict[str, Any] = {"alias": task}
    for name in evaluation.metric_names:
        values_P = evaluation.values(name)
        results[f"{name},{_FILTER}"] = float(values_P.mean())
        spread = float(values_P.std(ddof=1)) if len(values_P) > 1 else 0.0
        results[f"{name}_stderr,{_FILTER}"] = spread / math.sqrt(len(values_P))
    hashes = "".join(line["doc_hash"] + line["prompt_hash"] + line["target_hash"] for line in lines)
    config = {
        "task": task,
        "output_type": "generate_until",
        "repeats": evaluation.metrics["samples"],
        "generation_kwargs": _generation(evaluation),
        "metadata": {
            "version": 1.0,
            **{key: evaluation.metrics.get(key) for key in ("verifier", "clusterer", "dataset", "policy", "prompts")},
        },
    }
    upward = {name: True for name in evaluation.metric_names if not name.startswith(_NOT_HIGHER_IS_BETTER)}
    return {
        "results": {task: results},
        "group_subtasks": {task: []},
        "configs": {task: config},
        "versions": {task: 1.0},
        "n-shot": {task: 0},
        "higher_is_better": {task: upward},
        "n-samples": {task: {"original": len(lines), "effective": len(lines)}},
        "config": {"model": "poly-epo", "model_args": f"policy={evaluation.metrics.get('policy')}"},
        "model_name": "poly-epo",
        "task_hashes": {task: _sha256(hashes)},
    }


def _generation(evaluation: Evaluation) -> dict[str, Any]:
    said = evaluation.metrics
    settings = {"temperature": "temperature", "top_p": "top_p", "max_gen_toks": "max_new_tokens"}
    known = {theirs: said[ours] for theirs, ours in settings.items() if said.get(ours) is not None}
    return {"until": [], "do_sample": True, **known}


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
