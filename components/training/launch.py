"""The trainer as the loop sees it: in this process, or in several that `torchrun` keeps, with the same calls.

with opened(params, ...) as trainer:
    trainer.load(policy, state)
    metrics = trainer.update(scored, minibatches=4)
    trainer.save_policy(directory)
"""

from __future__ import annotations

import logging
import math
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from components import process_guard
from components.errors import PolyEpoError
from components.records import SCORED_ROLLOUT, read_records
from components.training.batch import batch_from_table
from components.training.mailbox import Action, Mailbox, Request
from components.training.params import TrainingParams
from components.training.trainer import Trainer

__all__ = ["TrainerLike", "opened"]

log = logging.getLogger(__name__)
_STOP_SECONDS = 20.0
_SILENT_SECONDS = 300.0  # a rank may be busy for long without a word, writing weights to a slow disk
_LOOK_SECONDS = 1.0


class TrainerLike(Protocol):
    """What the loop asks of a trainer; see Trainer."""

    def load(self, policy: Path, state: Path | None, *, base: Path | None = None) -> None:
        """Load the weights of ``policy`` and the optimizer's ``state`` that belongs to them; ``base``: version 0."""

    def update(self, scored: Path, *, minibatches: int) -> dict[str, float]:
        """Update on the scored rollouts in the file ``scored``; the metrics of the iteration."""

    def save_policy(self, directory: Path) -> None:
        """Write weights and tokenizer into an existing directory."""

    def save_state(self, directory: Path) -> None:
        """Write the optimizer's state into an existing directory."""


@contextmanager
def opened(params: TrainingParams, *, max_new_tokens: int, threads: int, mailbox: Path) -> Iterator[TrainerLike]:
    """The trainer that ``params.processes`` asks for; its processes end with the block.

    Args:
        params: of the update.
        max_new_tokens: longest completion.
        threads: CPU threads of each process.
        mailbox: directory through which processes are reached; log of the local ones.
    """
    if params.processes == 1:
        yield _InProcess(Trainer(params, max_new_tokens=max_new_tokens))
        return
    processes = _Processes(params, max_new_tokens, threads, mailbox)
    try:
        yield processes
    finally:
        processes.stop()


class _InProcess:
    """The trainer of this process."""

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer
        self.load = trainer.load
        self.save_policy = trainer.save_policy
        self.save_state = trainer.save_state

    def update(self, scored: Path, *, minibatches: int) -> dict[str, float]:
        batch = batch_from_table(read_records(scored, SCORED_ROLLOUT), where=str(scored))
        return self._trainer.update(batch, minibatches=minibatches)


class _Processes:
    """Trainer processes that follow a mailbox; started with the first request where that is this machine's task."""

    def __init__(self, params: TrainingParams, max_new_tokens: int, threads: int, mailbox: Path) -> None:
        self._params = params
        self._options = {"max_new_tokens": max_new_tokens, "threads": threads}
        self._mailbox = Mailbox(mailbox)
        self._log = mailbox / "trainer.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._session = uuid.uuid4().hex
        self._number = 0
        self._directory = mailbox
        self._lost = False
        self._lives = _Lives(self._mailbox)

    def load(self, policy: Path, state: Path | None, *, base: Path | None = None) -> None:
        self._ask(
            "load",
            params=self._params.model_dump(mode="json"),
            policy=str(policy),
            state=str(state) if state else None,
            base=str(base) if base else None,
            **self._options,
        )

    def update(self, scored: Path, *, minibatches: int) -> dict[str, float]:
        return self._ask("update", scored=str(scored), minibatches=minibatches)

    def save_policy(self, directory: Path) -> None:
        self._ask("save_policy", directory=str(directory))

    def save_state(self, directory: Path) -> None:
        self._ask("save_state", directory=str(directory))

    def stop(self) -> None:
        """End the processes: by request, and where they do not answer by signal."""
        if self._number and not self._lost:
            self._mailbox.send(self._request("stop"))
        if self._process is None:
            return
        try:
            self._process.wait(0.0 if self._lost else _STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.terminate()
            self._process.wait()
        self._process = None

    def _ask(self, action: Action, **arguments: Any) -> dict[str, float]:
        if self._number == 0:
            self._mailbox.clear()
            if self._params.launcher == "local":
                self._process = self._start()
            else:
                log.info("waiting for trainer processes that follow %s (docs/scale.md)", self._directory)
        request = self._request(action, **arguments)
        self._mailbox.send(request)
        return self._mailbox.wait(request, self._check)

    def _request(self, action: Action, **arguments: Any) -> Request:
        self._number += 1
        return Request(self._session, self._number, action, arguments)

    def _start(self) -> subprocess.Popen[bytes]:
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        worker = ["-m", "components.training.worker", "--mailbox", str(self._directory)]
        command = [*torchrun, "--nproc-per-node", str(self._params.processes), *worker]
        threads = str(self._options["threads"])
        root = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join(part for part in (root, os.environ.get("PYTHONPATH", "")) if part)
        with self._log.open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-I", "-S", process_guard.__file__, str(os.getpid()), *command],
                env={**os.environ, "OMP_NUM_THREADS": threads, "PYTHONPATH": path},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _check(self) -> None:
        """Raise what a rank reported, or that one is gone."""
        ended = self._process is not None and self._process.poll() is not None
        if self._process is not None and not ended:
            return
        faults = self._mailbox.faults()
        if faults or ended:
            self._lost = True
            raise self._fault(faults)
        silent = self._lives.silent()
        if silent:
            self._lost = True
            raise PolyEpoError(
                f"a process of the trainer was lost: no sign of rank {', '.join(silent)} for {_SILENT_SECONDS:g} s; "
                "nothing of this update was kept",
                where=str(self._directory),
                remedy="start the processes again (docs/scale.md), then run the same command: it resumes",
            )

    def _fault(self, faults: list[dict[str, Any]]) -> PolyEpoError:
        """What a rank said was wrong; else that one is gone, which the others noticed by its silence."""
        for fault in faults:
            if fault:
                return PolyEpoError(fault["what"], where=fault["where"], value=fault["value"], remedy=fault["remedy"])
        return PolyEpoError(
            "a process of the trainer was lost; nothing of this update was kept",
            where=str(self._log),
            remedy="read the log there (out of memory? a lost GPU?), then run the same command again: it resumes",
        )


class _Lives:
    """Which ranks have fallen silent, by this machine's clock alone: those of several need not agree."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox
        self._seen: dict[str, tuple[int, float]] = {}
        self._looked = -math.inf

    def silent(self) -> list[str]:
        """The ranks that once came and have not counted on for too long."""
        now = time.monotonic()
        if now - self._looked < _LOOK_SECONDS:
            return []
        self._looked = now
        for rank, beat in self._mailbox.beats().items():
            if rank not in self._seen or self._seen[rank][0] != beat:
                self._seen[rank] = (beat, now)
        return [rank for rank, (_, changed) in self._seen.items() if now - changed > _SILENT_SECONDS]
