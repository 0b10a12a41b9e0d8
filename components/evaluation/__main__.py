"""Evaluate one policy: ``python -m components.evaluation --policy DIR --problems FILE --out DIR``."""

from __future__ import annotations

import logging
from pathlib import Path

from components.command import component_parser, run_command
from components.evaluation.evaluate import evaluate
from components.evaluation.params import EvaluationParams
from components.params import load_params
from components.rollout.engine import RolloutEngine, get_engine
from components.rollout.params import RolloutParams
from components.scoring.params import ScoringParams


def main() -> None:
    parser = component_parser("Sample a policy on held-out problems and measure pass@k, maj@k and breadth.")
    parser.add_argument("--policy", type=Path, required=True, help="policy directory")
    parser.add_argument("--problems", type=Path, required=True, help="Parquet file of problems")
    parser.add_argument("--out", type=Path, required=True, help="directory to publish")
    arguments = parser.parse_args()
    params = load_params(arguments.params)
    evaluation, rollout = params[EvaluationParams], params[RolloutParams]

    def engine() -> RolloutEngine:
        from components.policy.determinism import compute_deterministically  # noqa: PLC0415 - seconds to load, and not needed where the result stands

        compute_deterministically(evaluation.threads)
        return get_engine(rollout)

    done = evaluate(
        arguments.policy,
        arguments.problems,
        arguments.out,
        params=evaluation,
        scoring=params[ScoringParams],
        engine=engine,
        rollout_settings=rollout.model_dump(),
    )
    logging.getLogger(__name__).info("%s %s", arguments.out, "evaluated" if done else "is up to date")


if __name__ == "__main__":
    run_command(main)
