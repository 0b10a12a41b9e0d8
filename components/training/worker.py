"""One rank of a trainer of several processes: it follows the requests of a session until it is told to stop.

    torchrun --standalone --nproc-per-node 4 -m components.training.worker --mailbox DIR

The session starts this by itself for ``training.launcher: local``; for several machines see docs/scale.md.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
from pathlib import Path
from typing import Any

import torch.distributed as dist

from components.command import run_command
from components.errors import PolyEpoError
from components.policy.determinism import compute_deterministically
from components.process_guard import die_with_parent
from components.records import SCORED_ROLLOUT, read_records
from components.training.batch import batch_from_table
from components.training.distributed import Ranks, join
from components.training.mailbox import Mailbox, Request
from components.training.params import TrainingParams
from components.training.trainer import Trainer

__all__ = ["main"]

log = logging.getLogger(__name__)


def main() -> None:
    """Join the other ranks and serve the mailbox."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mailbox", type=Path, required=True, help="directory that the session and all ranks share")
    mailbox = Mailbox(parser.parse_args().mailbox)
    # torchrun starts its workers in process groups of their own: without this they would survive it.
    die_with_parent(signal.SIGKILL, os.getppid())
    ranks = join()
    try:
        with mailbox.alive(ranks.rank):
            _serve(mailbox, ranks)
    except PolyEpoError as error:
        fault = {"what": error.what, "where": error.where, "value": error.value, "remedy": error.remedy}
        mailbox.report(ranks.rank, fault)
        raise
    except (RuntimeError, OSError):
        # Another rank is gone, or this one cannot go on: its log has the details.
        mailbox.report(ranks.rank, {})
        raise
    dist.destroy_process_group()


def _serve(mailbox: Mailbox, ranks: Ranks) -> None:
    trainer: Trainer | None = None
    last: Request | None = None
    while True:
        last = mailbox.receive(last)
        if last.action == "stop":
            ranks.wait()
            if ranks.is_first:
                mailbox.close()
            return
        if last.action == "load":
            trainer = None  # its memory is free before the next one takes any
            trainer = _loaded(ranks, **last.arguments)
        result = {} if trainer is None else _do(trainer, last)
        ranks.wait()
        if ranks.is_first:
            mailbox.answer(last, result)


def _loaded(
    ranks: Ranks,
    *,
    params: dict[str, Any],
    max_new_tokens: int,
    threads: int,
    policy: str,
    state: str | None,
    base: str | None,
) -> Trainer:
    compute_deterministically(threads)
    trainer = Trainer(TrainingParams.model_validate(params), max_new_tokens=max_new_tokens, ranks=ranks)
    trainer.load(Path(policy), Path(state) if state else None, base=Path(base) if base else None)
    return trainer


def _do(trainer: Trainer, request: Request) -> dict[str, float]:
    if request.action == "update":
        source = request.arguments["scored"]
        batch = batch_from_table(read_records(Path(source), SCORED_ROLLOUT), where=source)
        return trainer.update(batch, minibatches=request.arguments["minibatches"])
    if request.action == "save_policy":
        trainer.save_policy(Path(request.arguments["directory"]))
    elif request.action == "save_state":
        trainer.save_state(Path(request.arguments["directory"]))
    return {}


if __name__ == "__main__":
    run_command(main)
