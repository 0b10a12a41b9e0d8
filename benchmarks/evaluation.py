"""Time of every metric and interval of a large evaluation, part by part.

    python -m benchmarks.evaluation [problems] [samples]

1,000 problems x 128 samples and 10,000 draws unless told otherwise, on at most two threads. Verification is left out:
its time is the verifier's. The floor is what cannot be avoided: one pass over the tokens, and drawing the weights.
"""

from __future__ import annotations

import os
import sys
import time

os.environ.setdefault("OMP_NUM_THREADS", "2")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "2")

import numpy as np

from components.evaluation import (
    branching_curve,
    completion_length,
    coverage,
    distinct_correct,
    effective_correct,
    majority_at_k,
    pass_at_k,
    token_entropy,
)
from components.evaluation.intervals import bootstrap_intervals, paired_bootstraps
from components.evaluation.params import EvaluationParams

DRAWS = 10_000
TOKENS = 64


class Stopwatch:
    """Prints a table row per part and adds the parts up."""

    def __init__(self) -> None:
        self.total = 0.0
        self.start = time.perf_counter()

    def lap(self, part: str, *, counts: bool = True) -> None:
        """Print the time since the last lap; ``counts``: whether it is part of the total."""
        seconds = time.perf_counter() - self.start
        self.total += seconds if counts else 0.0
        print(f"| {part} | {seconds:.2f} |", flush=True)
        self.start = time.perf_counter()


def main() -> None:
    problems, samples = (int(sys.argv[i]) if len(sys.argv) > i else default for i, default in ((1, 1000), (2, 128)))
    params = EvaluationParams()
    rng = np.random.default_rng(0)
    # Nine answers of falling frequency, of which some are right; every completion has its own tokens.
    rates_PA = rng.dirichlet(1 / np.arange(1, 11), problems)
    answers_PS = np.stack([rng.choice(10, samples, p=rates) for rates in rates_PA]) - 1
    correct_PS = (answers_PS >= 0) & (answers_PS < 3)
    correct_P = correct_PS.sum(axis=1)
    problem_R = np.repeat(np.arange(problems), samples)
    lengths_R = rng.integers(TOKENS // 2, TOKENS + 1, problems * samples)
    token_ids = rng.integers(0, 4, lengths_R.sum()).astype(np.int32)
    logprobs = np.log(rng.random(len(token_ids)))

    print(f"{problems} problems x {samples} samples, {len(token_ids):,} tokens, {DRAWS:,} draws\n")
    print("| part | seconds |\n|---|---|")
    watch = Stopwatch()
    np.bincount(token_ids)
    for _ in range(DRAWS // 1000):
        rng.standard_exponential((1000, problems))
    watch.lap("floor: one pass over the tokens, weights drawn once", counts=False)

    columns = [pass_at_k(samples, correct_P, k) for k in params.ks if k <= samples]
    watch.lap(f"pass@k, {len(columns)} ks")
    for k in params.majority_ks:
        majority = majority_at_k(answers_PS, correct_PS, k, draws=params.majority_draws, seed=0)
        columns += [majority.accuracy_P, majority.share_P]
        watch.lap(f"maj@{k}")
    clusters = [
        np.unique(answers_S[correct_S], return_counts=True)[1]
        for answers_S, correct_S in zip(answers_PS, correct_PS, strict=True)
    ]
    columns += [distinct_correct(samples, clusters, params.distinct_samples), effective_correct(clusters)]
    columns.append(coverage(correct_P))
    watch.lap("strategies and coverage")
    columns += list(
        branching_curve(token_ids, lengths_R, problem_R, params.branching_positions, draws=params.distinct_samples).T
    )
    watch.lap(f"branching at {len(params.branching_positions)} positions")
    columns += [completion_length(lengths_R, problem_R), token_entropy(logprobs, lengths_R, problem_R)]
    watch.lap("length and entropy")
    values_PM = np.stack(columns, axis=1)
    bootstrap_intervals(values_PM, draws=DRAWS, confidence=0.95, seed=0)
    watch.lap(f"bayesian intervals of {len(columns)} metrics")
    paired_bootstraps(values_PM, values_PM[::-1], draws=DRAWS, confidence=0.95, seed=0)
    watch.lap(f"paired differences of {len(columns)} metrics")
    print(f"| **all of an evaluation and of a comparison** | **{watch.total:.2f}** |")
    for method in ("percentile", "bca"):
        bootstrap_intervals(values_PM, draws=DRAWS, confidence=0.95, seed=0, method=method)
        watch.lap(f"{method} instead of bayesian", counts=False)


if __name__ == "__main__":
    main()
