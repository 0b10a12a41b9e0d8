"""How often intervals hold the truth, how often the gate errs: simulations behind docs/statistics.md.

    OMP_NUM_THREADS=1 python -m benchmarks.intervals [coverage] [differences] [gate] [seeds] [effective]

Prints Markdown tables; seeded, so that the same versions print the same numbers. Without arguments all of them; none
takes more than four minutes on a busy core. All go through the functions that users call.
"""

from __future__ import annotations

import math
import sys
import time

import numpy as np

from components.evaluation import effective_correct, hierarchical_bootstrap, pass_at_k
from components.evaluation.intervals import Method, bootstrap_intervals, paired_bootstraps
from components.registry.evidence import Evidence, ProblemResult
from components.registry.gate import Bootstrap, decide
from components.registry.params import GateMargins

SAMPLES = 128
KS = (1, 8, 32)
METHODS: tuple[Method, ...] = ("percentile", "bca", "bayesian")

Mixture = list[tuple[float, float, float]]  # weight, a, b of beta distributions of a problem's success probability
DISTRIBUTIONS: dict[str, Mixture] = {
    "uniform": [(1, 1, 1)],
    "hard": [(1, 0.4, 2)],
    "bimodal": [(0.5, 0.3, 3), (0.5, 3, 0.3)],
    "hard, skewed": [(0.8, 0.1, 6), (0.2, 1, 2)],
    "easy, few unsolved": [(0.9, 3, 1.5), (0.1, 0.2, 4)],
    "almost all unsolved": [(0.95, 0.02, 3), (0.05, 2, 2)],
}
BATCHES, BATCH, DRAWS = 8, 500, 1000


def solve_rates(mixture: Mixture, size: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    weights, a, b = np.array(mixture).T
    part = rng.choice(len(mixture), p=weights, size=size)
    return rng.beta(a[part], b[part])


def true_pass_at_k(mixture: Mixture, k: int) -> float:
    """Mean of 1 - (1 - p)^k over the mixture, by its beta functions."""
    log_beta = lambda a, b: math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)  # noqa: E731
    return sum(weight * (1 - math.exp(log_beta(a, b + k) - log_beta(a, b))) for weight, a, b in mixture)


def coverage_of(mixture: Mixture, problems: int, method: Method) -> list[float]:
    """Share of evaluations whose 95% interval of pass@k holds the truth, for each of KS."""
    hits = np.zeros(len(KS))
    truths = [true_pass_at_k(mixture, k) for k in KS]
    for batch in range(BATCHES):
        rng = np.random.default_rng([problems, batch])
        correct_PT = rng.binomial(SAMPLES, solve_rates(mixture, (problems, BATCH), rng))
        for index, (k, truth) in enumerate(zip(KS, truths, strict=True)):
            values_PT = pass_at_k(SAMPLES, correct_PT, k)
            ends = [(0.0, 1.0)] * BATCH
            found = bootstrap_intervals(values_PT, draws=DRAWS, confidence=0.95, seed=batch, method=method, ends=ends)
            hits[index] += sum(interval.low <= truth <= interval.high for interval in found)
    return (hits / (BATCHES * BATCH)).tolist()


def coverage() -> None:
    print(f"### Coverage of 95% intervals of pass@{'/'.join(map(str, KS))}, {SAMPLES} samples per problem")
    print(f"\n{BATCHES * BATCH} evaluations per cell (standard error 0.3 points), {DRAWS} draws.\n")
    print(f"| problems | success probabilities | truth | {' | '.join(METHODS)} |")
    print(f"|---|---|---|{'---|' * len(METHODS)}")
    outside = {(method, problems): 0 for method in METHODS for problems in (30, 100, 500)}
    for problems in (30, 100, 500):
        for name, mixture in DISTRIBUTIONS.items():
            cells = [[f"{true_pass_at_k(mixture, k):.2f}" for k in KS]]
            for method in METHODS:
                rates = coverage_of(mixture, problems, method)
                outside[method, problems] += sum(not 0.93 <= rate <= 0.97 for rate in rates)
                cells.append([f"{rate:.1%}".removesuffix("%") for rate in rates])
            print(f"| {problems} | {name} | {' | '.join(' / '.join(cell) for cell in cells)} |", flush=True)
    total = len(DISTRIBUTIONS) * len(KS)
    print(f"\n| problems | {' | '.join(f'{method}: outside 93-97%' for method in METHODS)} |")
    print(f"|---|{'---|' * len(METHODS)}")
    for problems in (30, 100, 500):
        print(f"| {problems} | {' | '.join(f'{outside[m, problems]} of {total}' for m in METHODS)} |")


def evidence(correct_P: np.ndarray) -> Evidence:
    """Equally broad policies, so that the gate's floor on breadth has no say."""
    problems = {f"{i:04d}": ProblemResult(SAMPLES, int(correct), 1.0) for i, correct in enumerate(correct_P)}
    return Evidence("policy", "dataset", 1, problems)


def policies(
    mixture: Mixture, problems: int, shift: float, spread: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Success probabilities of incumbent and challenger: log-odds around a common value, the challenger's moved."""
    rates_P = np.clip(solve_rates(mixture, (problems,), rng), 1e-9, 1 - 1e-9)
    log_odds = np.log(rates_P / (1 - rates_P)) + rng.normal(0, spread, (2, problems))
    log_odds[1] += shift
    incumbent, challenger = 1 / (1 + np.exp(-log_odds))
    return incumbent, challenger


def decisions(mixture: Mixture, problems: int, trials: int, *, shift: float = 0.0, spread: float) -> np.ndarray:
    """(trials, 4) what the default gate decided: the lower end above 0 for each of KS, then whether it promoted."""
    verdicts = np.zeros((trials, len(KS) + 1), dtype=bool)
    for trial in range(trials):
        rng = np.random.default_rng([problems, trial])
        incumbent, challenger = (
            evidence(rng.binomial(SAMPLES, rates_P)) for rates_P in policies(mixture, problems, shift, spread, rng)
        )
        bootstrap = Bootstrap(draws=GATE_DRAWS, confidence=0.95, seed=trial)
        decision = decide(challenger, incumbent, "champion", gate=GateMargins(), bootstrap=bootstrap)
        lows = [decision.check(f"pass@{k}").low for k in KS]
        verdicts[trial] = [*(low is not None and low > 0 for low in lows), decision.promoted]
    return verdicts


def differences() -> None:
    print("### Paired differences between equal models: share of 95% intervals that lie above 0 (nominal: 2.5%)\n")
    print(
        "Six cells of 1000 comparisons per row and k (three distributions, the same policy twice or equal on average):"
    )
    print("all together (standard error 0.2 points), and the worst cell.\n")
    print(
        f"| problems | method | {' | '.join(f'pass@{k}: all | worst' for k in KS)} |\n|---|---|{'---|' * 2 * len(KS)}"
    )
    for problems in TRIALS:
        for method in METHODS:
            rates = np.array(
                [
                    above_zero(DISTRIBUTIONS[name], problems, spread, method)
                    for name in ("hard", "bimodal", "easy, few unsolved")
                    for spread in (0.0, 1.0)
                ]
            )
            cells = [f"{rate:.1%}" for pair in zip(rates.mean(axis=0), rates.max(axis=0), strict=True) for rate in pair]
            print(f"| {problems} | {method} | {' | '.join(cells)} |", flush=True)


def difference_coverage() -> None:
    """Two models that differ: does the paired interval hold the true difference?"""
    print("### Coverage of 95% paired intervals of the difference of pass@k between a better model and another\n")
    print(f"{2 * BATCH} comparisons per cell (standard error 0.7 points), log-odds 0.4 apart, varying by 0.5.\n")
    print(f"| problems | success probabilities | truth at k = {' / '.join(map(str, KS))} | {' | '.join(METHODS)} |")
    print(f"|---|---|---|{'---|' * len(METHODS)}")
    for problems in (30, 100, 500):
        for name in ("hard", "bimodal", "easy, few unsolved"):
            many = policies(DISTRIBUTIONS[name], 400_000, 0.4, 0.5, np.random.default_rng(0))
            truth_K = np.array([((1 - many[0]) ** k - (1 - many[1]) ** k).mean() for k in KS])
            cells = [
                " / ".join(
                    f"{rate:.1%}".removesuffix("%") for rate in held(DISTRIBUTIONS[name], problems, truth_K, method)
                )
                for method in METHODS
            ]
            told = " / ".join(f"{truth:+.3f}" for truth in truth_K)
            print(f"| {problems} | {name} | {told} | {' | '.join(cells)} |", flush=True)


def held(mixture: Mixture, problems: int, truth_K: np.ndarray, method: Method) -> np.ndarray:
    """(K,) share of the paired intervals that hold the truth."""
    inside = np.zeros(len(KS))
    for batch in range(2):
        rng = np.random.default_rng([problems, batch, 2])
        rates = policies(mixture, problems * BATCH, 0.4, 0.5, rng)
        correct = [rng.binomial(SAMPLES, rates_P).reshape(problems, BATCH) for rates_P in rates]
        baseline, better = (np.hstack([pass_at_k(SAMPLES, side, k) for k in KS]) for side in correct)
        found = paired_bootstraps(baseline, better, draws=DRAWS, confidence=0.95, seed=batch, method=method)
        ends = np.array([(difference.low, difference.high) for difference in found]).reshape(len(KS), BATCH, 2)
        inside += ((ends[..., 0] <= truth_K[:, None]) & (truth_K[:, None] <= ends[..., 1])).mean(axis=1)
    return inside / 2


def above_zero(mixture: Mixture, problems: int, spread: float, method: Method) -> np.ndarray:
    """(K,) share of the intervals above zero, for each of KS."""
    above = np.zeros(len(KS))
    for batch in range(2):
        rng = np.random.default_rng([problems, batch, 1])
        rates = policies(mixture, problems * BATCH, 0.0, spread, rng)
        correct = [rng.binomial(SAMPLES, rates_P).reshape(problems, BATCH) for rates_P in rates]
        incumbent, challenger = (np.hstack([pass_at_k(SAMPLES, side, k) for k in KS]) for side in correct)
        found = paired_bootstraps(incumbent, challenger, draws=DRAWS, confidence=0.95, seed=batch, method=method)
        above += np.array([difference.low > 0 for difference in found]).reshape(len(KS), BATCH).mean(axis=1)
    return above / 2


GATE_DRAWS = 500
TRIALS = {30: 1000, 100: 600, 500: 200}
POWER_TRIALS = 200
SHIFTS = (0.05, 0.1, 0.2, 0.4, 0.8)


def gate() -> None:
    print("### The gate between two equal models: how often it takes the challenger for better\n")
    print("Nominal: 2.5% for one k (lower end of the 95% interval above 0). 'same': one policy sampled twice; 'other")
    print("problems': equal on average, each better on other problems. ", end="")
    print(f"Trials per row: {TRIALS}; {GATE_DRAWS} draws.\n")
    print(f"| problems | success probabilities | equal how | {' | '.join(f'pass@{k}' for k in KS)} | default gate |")
    print(f"|---|---|---|{'---|' * (len(KS) + 1)}")
    for problems, trials in TRIALS.items():
        together = []
        for name in ("hard", "bimodal", "easy, few unsolved"):
            for kind, spread in (("same", 0.0), ("other problems", 1.0)):
                together.append(decisions(DISTRIBUTIONS[name], problems, trials, spread=spread))
                print(f"| {problems} | {name} | {kind} | {percentages(together[-1])} |", flush=True)
        print(f"| {problems} | all | both | {percentages(np.concatenate(together))} |", flush=True)


def power() -> None:
    rng = np.random.default_rng(0)
    mixture = DISTRIBUTIONS["hard"]
    print("\n### Power of the default gate: share of better challengers promoted\n")
    print(f"Success probabilities 'hard', each problem's log-odds vary by 0.5; {POWER_TRIALS} trials per cell.\n")
    sizes = " | ".join(f"{problems} problems" for problems in TRIALS)
    print(f"| {' | '.join(f'true difference of pass@{k}' for k in KS)} | {sizes} |")
    print(f"|{'---|' * (len(KS) + len(TRIALS))}")
    for shift in SHIFTS:
        many = policies(mixture, 400_000, shift, 0.5, rng)
        truths = [f"{((1 - many[0]) ** k - (1 - many[1]) ** k).mean():+.3f}" for k in KS]
        rates = [
            f"{decisions(mixture, problems, POWER_TRIALS, shift=shift, spread=0.5)[:, -1].mean():.0%}"
            for problems in TRIALS
        ]
        print(f"| {' | '.join(truths + rates)} |", flush=True)


def percentages(verdicts: np.ndarray) -> str:
    return " | ".join(f"{rate:.1%}" for rate in verdicts.mean(axis=0))


def drawn_with_replacement(values_TSP: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """What the hierarchical interval is compared with: (T,) ends when seeds and problems are both resampled."""
    _, seeds, problems = values_TSP.shape
    weights_DS = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=DRAWS) / seeds
    weights_DP = rng.multinomial(problems, np.full(problems, 1 / problems), size=DRAWS) / problems
    means_TD = np.stack([((weights_DS @ values_SP) * weights_DP).sum(axis=1) for values_SP in values_TSP])
    low_T, high_T = np.quantile(means_TD, [0.025, 0.975], axis=1)
    return low_T, high_T


def seeds() -> None:
    print("\n### Coverage of 95% intervals over seeds and 100 problems; problems vary by 0.3, seeds as given\n")
    print("1000 experiments per cell (standard error 0.7 points).\n")
    print("| seeds | seeds vary by | seeds drawn with replacement | hierarchical_bootstrap |\n|---|---|---|---|")
    for count in (2, 3, 5, 10):
        for spread in (0.0, 0.03, 0.1):
            rng = np.random.default_rng([count, int(100 * spread)])
            values_TSP = rng.normal(0, spread, (1000, count, 1)) + rng.normal(0, 0.3, (1000, 1, 100))
            values_TSP += rng.normal(0, 0.1, values_TSP.shape)
            low_T, high_T = drawn_with_replacement(values_TSP, rng)
            found = [
                hierarchical_bootstrap(values_SP, draws=DRAWS, confidence=0.95, seed=trial)
                for trial, values_SP in enumerate(values_TSP)
            ]
            ours = np.mean([interval.low <= 0 <= interval.high for interval in found])
            print(f"| {count} | {spread} | {((low_T <= 0) & (high_T >= 0)).mean():.1%} | {ours:.1%} |", flush=True)


def effective() -> None:
    print("\n### Effective number of correct clusters: mean (root mean square error) of 4000 estimates\n")
    print(
        "| clusters | true effective number | correct completions | exp of the sample's entropy | effective_correct |"
    )
    print("|---|---|---|---|---|")
    for name, frequencies in (
        ("3 equal", np.ones(3)),
        ("8 equal", np.ones(8)),
        ("20, shares as 1/rank", 1 / np.arange(1, 21)),
    ):
        shares = frequencies / frequencies.sum()
        truth = math.exp(-(shares * np.log(shares)).sum())
        for correct in (2, 5, 10, 30, 100):
            counts = np.random.default_rng(correct).multinomial(correct, shares, size=4000)
            parts = counts / correct
            plug_in = np.exp(-(parts * np.log(np.where(parts > 0, parts, 1))).sum(axis=1))
            cells = [
                f"{values.mean():.2f} ({np.sqrt(((values - truth) ** 2).mean()):.2f})"
                for values in (plug_in, effective_correct(counts))
            ]
            print(f"| {name} | {truth:.2f} | {correct} | {' | '.join(cells)} |")


TABLES = {
    "coverage": (coverage,),
    "differences": (differences, difference_coverage),
    "gate": (gate, power),
    "seeds": (seeds,),
    "effective": (effective,),
}


def main() -> None:
    for name in sys.argv[1:] or list(TABLES):
        start = time.perf_counter()
        for table in TABLES[name]:
            table()
        print(f"{name}: {time.perf_counter() - start:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
