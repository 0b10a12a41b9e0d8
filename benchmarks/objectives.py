"""Poly-EPO's closed form against enumeration, side by side: time and largest difference.

    python -m benchmarks.objectives

One core (set OMP_NUM_THREADS=1 to be sure; nothing here uses BLAS). Enumeration builds every set with numpy for as many
prompts as fit in a few seconds and is scaled to the batch; where even one prompt does not fit, the table says so.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from itertools import combinations

import numpy as np

from components.objectives import get_objective

CASES = [(1024, 8, 4), (1024, 12, 6), (128, 16, 8), (128, 20, 10), (128, 64, 16), (128, 1024, 256)]
GROWTH = [64, 256, 1024, 4096, 16384]
MOST_SETS = 200_000
MOST_WORK = 3_000_000  # set members built by one timed enumeration


def median_seconds(call: Callable[[], object], repeats: int) -> float:
    call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def batch(prompts: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng((prompts, size))
    rewards = rng.integers(0, 2, (prompts, size)).astype(float)
    return rewards, rng.integers(-1, max(2, size // 2), (prompts, size))


def enumerate_scores(rewards_PN: np.ndarray, clusters_PN: np.ndarray, n: int) -> np.ndarray:
    size = rewards_PN.shape[1]
    members = np.array(list(combinations(range(size), n)))
    scores = np.empty_like(rewards_PN)
    for row, (rewards, clusters) in enumerate(zip(rewards_PN, clusters_PN, strict=True)):
        ordered = np.sort(clusters[members], axis=1)
        new = (ordered >= 0) & np.c_[np.ones(len(members), bool), ordered[:, 1:] != ordered[:, :-1]]
        distinct = new.sum(axis=1)
        values = rewards[members].mean(axis=1) * np.where(distinct <= 1, 0, distinct) / n
        sums = np.bincount(members.ravel(), weights=np.repeat(values, n), minlength=size)
        scores[row] = sums / math.comb(size - 1, n - 1)
    return scores


def compare(prompts: int, size: int, n: int) -> str:
    rewards, clusters = batch(prompts, size)
    objective = get_objective("poly_epo", set_size=n)
    closed = median_seconds(lambda: objective.advantages(rewards, clusters), 30) * 1e3
    total = math.comb(size, n)
    if total > MOST_SETS:
        enumeration, speedup, difference = "out of reach", "", ""
    else:
        share = max(1, min(prompts, MOST_WORK // (total * n)))
        part = rewards[:share], clusters[:share]
        scaled = median_seconds(lambda: enumerate_scores(*part, n), 3) * 1e3 * prompts / share
        enumeration, speedup = f"{scaled:,.0f}", f"{scaled / closed:,.0f} x"
        difference = f"{np.abs(enumerate_scores(*part, n) - objective.set_scores(*part)).max():.0e}"
    sets = f"{total:,}" if total < 1e7 else f"{float(total):.1e}" if total < 10**300 else f"10^{len(str(total)) - 1}"
    return f"| {prompts} | {size} | {n} | {sets} | {closed:.2f} | {enumeration} | {speedup} | {difference} |"


def growth(size: int) -> str:
    rewards, clusters = batch(16, size)
    clusters %= 64  # a fixed number of clusters: what grows is N alone
    objective = get_objective("poly_epo", set_size=size // 4)
    seconds = median_seconds(lambda: objective.advantages(rewards, clusters), 15)
    return f"| 16 | {size} | {size // 4} | {seconds * 1e3:.2f} | {seconds * 1e9 / (16 * size):.0f} |"


def main() -> None:
    print("| prompts | N | n | sets a prompt | closed form, ms | enumeration, ms | ratio | largest difference |")
    print("|---|---|---|---|---|---|---|---|")
    for case in CASES:
        print(compare(*case), flush=True)
    print("\n| prompts | N | n | closed form, ms | ns a completion |")
    print("|---|---|---|---|---|")
    for size in GROWTH:
        print(growth(size), flush=True)


if __name__ == "__main__":
    main()
