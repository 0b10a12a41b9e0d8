"""pass@1 and pass@k of a model on candidate tasks after a short warm start on the answer's form: which can be learned?

    python -m benchmarks.candidate_tasks MODEL_DIRECTORY [--tasks NAME ...] [--problems 24] [--samples 32]

Each task starts from the same model. It prints one row per task as it is measured; the form is learned from problems
of which none is measured.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from components.data.params import ReasoningGymSource
from components.data.sources.reasoning_gym import ReasoningGymProblems
from components.evaluation.estimators import pass_at_k
from components.policy.load import load_model, load_tokenizer, save_policy
from components.policy.params import WarmStart
from components.policy.warm_start import encode_demonstrations, warm_start
from components.records import Problem
from components.rollout.transformers_engine import TransformersEngine
from components.scoring.verifiers.base import Item
from components.scoring.verifiers.gym import verify_gym

INSTRUCTION = "Reply with nothing but the answer, in this form: <answer>your answer</answer>"
TASKS: dict[str, dict[str, Any]] = {
    "chain_sum": {"min_terms": 2, "max_terms": 3, "min_digits": 1, "max_digits": 2},
    "countdown": {"min_numbers": 2, "max_numbers": 3, "max_value": 10, "min_target": 2, "max_target": 40},
    "spell_backward": {"min_word_len": 3, "max_word_len": 5},
    "palindrome_generation": {"min_length": 3, "max_length": 6},
    "gcd": {"min_numbers": 2, "max_numbers": 2, "max_value": 40},
}


def problems_of(task: str, size: int) -> list[Problem]:
    params = ReasoningGymSource(kind="reasoning_gym", task=task, size=size, config=TASKS[task], instruction=INSTRUCTION)
    candidates = ReasoningGymProblems(params).candidates(0)
    distinct = {candidate.prompt: candidate for candidate in candidates}.values()
    return [Problem(c.problem_id, c.prompt, c.answer, c.domain, "train", c.metadata) for c in distinct]


def warmed(model_directory: Path, pairs: list[tuple[str, str]], steps: int, out: Path) -> float:
    model, tokenizer = load_model(model_directory), load_tokenizer(model_directory)
    settings = WarmStart(steps=steps, prompts_per_step=8, completions_per_prompt=1, learning_rate=3e-5, warmup_steps=4)
    loss = warm_start(model, encode_demonstrations(tokenizer, pairs), settings, pad_id=tokenizer.pad_token_id, seed=0)
    save_policy(model, tokenizer, out)
    return loss


def measure(task: str, arguments: argparse.Namespace) -> str:
    begin = time.monotonic()
    problems = problems_of(task, arguments.problems + 8 * arguments.steps)
    measured, shown = problems[: arguments.problems], problems[arguments.problems :]
    pairs = [(problem.prompt, f"<answer>{problem.answer}</answer>") for problem in shown]
    engine = TransformersEngine(max_new_tokens=arguments.max_new_tokens, batch_size=64)
    with tempfile.TemporaryDirectory() as directory:
        loss = warmed(arguments.model, pairs, arguments.steps, Path(directory)) if arguments.steps else float("nan")
        engine.load_policy(Path(directory) if arguments.steps else arguments.model, 0)
    table = engine.sample(measured, group_size=arguments.samples, seed=1)
    completions = table["completion"].to_pylist()
    verdicts = [
        verify_gym(Item(measured[row // arguments.samples], completion)) for row, completion in enumerate(completions)
    ]
    correct = np.array([verdict.reward >= 1.0 for verdict in verdicts]).reshape(len(measured), -1)
    answers = np.array([verdict.parsed_answer or "" for verdict in verdicts]).reshape(len(measured), -1)
    tagged = np.mean(answers != "")
    rates = [pass_at_k(arguments.samples, correct.sum(axis=1), k).mean() for k in (1, 8, arguments.samples)]
    right = np.mean([len(set(row[good])) for row, good in zip(answers, correct, strict=True)])
    cells = [*(f"{rate:.3f}" for rate in rates), f"{tagged:.2f}", f"{right:.2f}", f"{loss:.2f}"]
    return f"| {task} | {' | '.join(cells)} | {time.monotonic() - begin:.0f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--problems", type=int, default=24)
    parser.add_argument("--samples", type=int, default=32)
    parser.add_argument("--steps", type=int, default=16, help="of the warm start, 8 answers each; 0: none")
    parser.add_argument("--max-new-tokens", type=int, default=24)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(f"| task | pass@1 | pass@8 | pass@{arguments.samples} | tagged | distinct correct | loss | seconds |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for task in arguments.tasks:
        print(measure(task, arguments), flush=True)


if __name__ == "__main__":
    main()
