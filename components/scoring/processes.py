"""Verification in child processes that can be killed: a wall-clock and a memory limit for each item.

The parent enforces the time limit: it kills the child, gives the item no reward, counts it, and starts a new
child for the next one. Children are started with the interpreter anew (never forked from a process with
threads) and are reused as long as they behave.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any, Self

from components.domains import Verdict
from components.errors import PolyEpoError
from components.scoring.params import ScoringParams
from components.scoring.verifiers import Item

__all__ = ["Outcome", "VerifierProcesses"]

_START_SECONDS = 120.0
_DEATH_SECONDS = 5.0  # a child that closed its output has this long to be gone by itself
_UNREWARDED = Verdict(None, 0.0, None)
# One thread each: the arenas of idle numeric threads would eat the address-space limit.
_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}


@dataclass(frozen=True)
class Outcome:
    """A verdict and how it came about; a timed-out or failed item has reward 0 and no answer."""

    verdict: Verdict
    timed_out: bool = False
    failure: str | None = None


class VerifierProcesses:
    """``params.workers`` child processes behind one ``judge_all``; a context manager that ends them."""

    def __init__(self, params: ScoringParams) -> None:
        self._children = [_Child(params) for _ in range(params.workers)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End every child process; the next ``judge_all`` would start them again."""
        for child in self._children:
            child.stop()

    def judge_all(self, items: Sequence[Item]) -> list[Outcome]:
        """One outcome per item, in order, whatever the number of workers.

        Raises:
            PolyEpoError: a fault of the set-up or of a problem, told by the child.
        """
        outcomes: list[Outcome | None] = [None] * len(items)
        queue = _Queue(items)

        def serve(child: _Child) -> None:
            for index, item in queue:
                outcomes[index] = child.judge(item)

        with ThreadPoolExecutor(len(self._children)) as pool:
            served = [pool.submit(serve, child) for child in self._children[: max(len(items), 1)]]
            try:
                for future in served:
                    future.result()
            finally:
                queue.end()
        return [outcome for outcome in outcomes if outcome is not None]


class _Queue:
    """Items handed out one by one to several threads."""

    def __init__(self, items: Sequence[Item]) -> None:
        self._remaining: Iterator[tuple[int, Item]] = iter(enumerate(items))
        self._lock = threading.Lock()

    def __iter__(self) -> Iterator[tuple[int, Item]]:
        while True:
            with self._lock:
                entry = next(self._remaining, None)
            if entry is None:
                return
            yield entry

    def end(self) -> None:
        """Hand out no more: a fault was found, and the other threads must not work on."""
        with self._lock:
            self._remaining = iter(())


class _Child:
    """One child process, started when first needed and again after each death."""

    def __init__(self, params: ScoringParams) -> None:
        self._params = params
        self._process: subprocess.Popen[bytes] | None = None
        self._buffer = b""

    def judge(self, item: Item) -> Outcome:
        process = self._process or self._start()
        request = {"problem": asdict(item.problem), "completion": item.completion, "truncated": item.truncated}
        try:
            _write_all(process, json.dumps(request).encode() + b"\n")
            reply = self._receive(self._params.timeout_seconds)
        except TimeoutError:
            self.stop()
            return Outcome(_UNREWARDED, timed_out=True)
        except (EOFError, BrokenPipeError):
            code = self._death()
            return Outcome(_UNREWARDED, failure=f"the verifier process died (exit code {code})")
        if "error" in reply:
            raise PolyEpoError(**reply["error"])
        if "failure" in reply:
            return Outcome(_UNREWARDED, failure=reply["failure"])
        return Outcome(Verdict(**reply))

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._death()

    def _start(self) -> subprocess.Popen[bytes]:
        params = self._params
        limits = [str(params.memory_mib), str(params.timeout_seconds)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "components.scoring.worker", params.verifier, *limits],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            env={**os.environ, **_ENVIRONMENT, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            start_new_session=True,  # Ctrl-C is the parent's to handle
        )
        self._buffer = b""
        try:
            reply = self._receive(_START_SECONDS)
        except (EOFError, TimeoutError) as error:
            self._process.kill()
            raise PolyEpoError(
                f"the verifier process did not start (exit code {self._death()})",
                where="scoring.verifier",
                value=params.verifier,
                remedy=f"raise scoring.memory_mib (now {params.memory_mib}), or import the verifier by hand to see why",
            ) from error
        if "error" in reply:
            self.stop()
            raise PolyEpoError(**reply["error"])
        return self._process

    def _receive(self, seconds: float) -> dict[str, Any]:
        """The next reply line; TimeoutError past the limit, EOFError where the child died."""
        assert self._process is not None and self._process.stdout is not None  # noqa: S101, PT018
        descriptor = self._process.stdout.fileno()
        poller = select.poll()
        poller.register(descriptor, select.POLLIN)
        deadline = time.monotonic() + seconds
        while b"\n" not in self._buffer:
            if not poller.poll(1000.0 * max(deadline - time.monotonic(), 0.0)):
                raise TimeoutError
            chunk = os.read(descriptor, 65_536)
            if not chunk:
                raise EOFError
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        reply: dict[str, Any] = json.loads(line)
        return reply

    def _death(self) -> int | None:
        """Reap the child and close its pipes; its exit code."""
        process, self._process = self._process, None
        if process is None:
            return None
        try:
            return process.wait(timeout=_DEATH_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()
        finally:
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    stream.close()


def _write_all(process: subprocess.Popen[bytes], data: bytes) -> None:
    assert process.stdin is not None  # noqa: S101
    view = memoryview(data)
    while view:
        view = view[process.stdin.write(view) or 0 :]
