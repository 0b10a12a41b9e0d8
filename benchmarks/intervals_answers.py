"""Coverage of the intervals of the metrics that look at answers: majority vote, breadth, coverage.

    OMP_NUM_THREADS=1 python -m benchmarks.intervals_answers

Prints the Markdown table of docs/statistics.md; seeded. Two minutes on a quiet core.

A population is 20,000 problems with 128 sampled answers each. A problem's success probability comes from the mixtures
of benchmarks/intervals.py; correct samples spread over 8 correct answers and wrong ones over 30 wrong answers, with
shares from symmetric Dirichlet distributions of concentration 1/2, so that a few answers take most. An evaluation draws
problems from the population; the truth is the population's mean.
"""

from __future__ import annotations

import numpy as np

from benchmarks.intervals import DISTRIBUTIONS, DRAWS, METHODS, SAMPLES, Mixture, solve_rates
from components.evaluation import coverage, distinct_correct, majority_at_k
from components.evaluation.intervals import Ends, bootstrap_intervals

POPULATION, EVALUATIONS, BATCH = 20_000, 2000, 500
CORRECT, WRONG, CONCENTRATION = 8, 30, 0.5
SHARE: Ends = (0.0, 1.0)
METRICS: dict[str, Ends | None] = {"maj@8": SHARE, "maj@32": SHARE, "distinct_correct": None, "coverage": SHARE}


def population(mixture: Mixture, rng: np.random.Generator) -> np.ndarray:
    """(problems, metrics) values of each problem of the population."""
    rates_P = solve_rates(mixture, (POPULATION,), rng)
    right = rng.dirichlet(np.full(CORRECT, CONCENTRATION), POPULATION)
    wrong = rng.dirichlet(np.full(WRONG, CONCENTRATION), POPULATION)
    shares = np.hstack([rates_P[:, None] * right, (1 - rates_P)[:, None] * wrong])
    counts_PA = rng.multinomial(SAMPLES, shares / shares.sum(axis=1, keepdims=True))
    answers_PS = np.stack([np.repeat(np.arange(CORRECT + WRONG), counts) for counts in counts_PA])
    correct_PS = answers_PS < CORRECT
    votes = [majority_at_k(answers_PS, correct_PS, k, draws=1000, seed=0).accuracy_P for k in (8, 32)]
    distinct = distinct_correct(SAMPLES, list(counts_PA[:, :CORRECT]), 64)
    return np.column_stack([*votes, distinct, coverage(correct_PS.sum(axis=1))])


def held(values_PM: np.ndarray, problems: int, method: str, rng: np.random.Generator) -> np.ndarray:
    """(metrics,) share of evaluations whose interval holds the population's mean."""
    truth_M = values_PM.mean(axis=0)
    inside_M = np.zeros(len(METRICS))
    for batch in range(EVALUATIONS // BATCH):
        # One table for a batch: all evaluations' columns, metric by metric, on the same draws.
        picked = values_PM[rng.integers(0, POPULATION, (problems, BATCH))]
        columns = picked.transpose(0, 2, 1).reshape(problems, -1)
        ends = [end for end in METRICS.values() for _ in range(BATCH)]
        found = bootstrap_intervals(columns, draws=DRAWS, confidence=0.95, seed=batch, method=method, ends=ends)  # type: ignore[arg-type]
        low, high = np.array([(interval.low, interval.high) for interval in found]).T.reshape(2, len(METRICS), BATCH)
        inside_M += ((low <= truth_M[:, None]) & (truth_M[:, None] <= high)).mean(axis=1)
    return inside_M / (EVALUATIONS // BATCH)


def main() -> None:
    names = " / ".join(METRICS)
    print(f"### Coverage of 95% intervals of {names}, {SAMPLES} samples per problem\n")
    print(f"{EVALUATIONS} evaluations per cell (standard error 0.5 points), {DRAWS} draws.\n")
    print(f"| problems | success probabilities | truth | {' | '.join(METHODS)} |\n|---|---|---|{'---|' * len(METHODS)}")
    populations = {
        name: population(mixture, np.random.default_rng(number))
        for number, (name, mixture) in enumerate(DISTRIBUTIONS.items())
    }
    outside = dict.fromkeys(METHODS, 0)
    for problems in (30, 100, 500):
        for name, values_PM in populations.items():
            cells = [" / ".join(f"{value:.2f}" for value in values_PM.mean(axis=0))]
            for method in METHODS:
                rates = held(values_PM, problems, method, np.random.default_rng(problems))
                outside[method] += int(((rates < 0.93) | (rates > 0.97)).sum())
                cells.append(" / ".join(f"{rate:.1%}".removesuffix("%") for rate in rates))
            print(f"| {problems} | {name} | {' | '.join(cells)} |", flush=True)
    cells_in_all = 3 * len(DISTRIBUTIONS) * len(METRICS)
    print(f"\nOutside 93-97%: {', '.join(f'{method} {count}' for method, count in outside.items())}", end="")
    print(f" of {cells_in_all} cells each.")


if __name__ == "__main__":
    main()
