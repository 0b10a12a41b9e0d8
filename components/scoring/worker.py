"""The child process that judges hostile completions: ``python -m components.scoring.worker VERIFIER MIB SECONDS``.

It speaks JSON lines on its standard input and output, so that nothing it sends back is ever unpickled: first
``{"ready": true}``, then one reply per request. It limits its own memory before it loads anything, and sets a
kernel alarm around each item, so that it ends even when its parent was killed while a computation hung.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from dataclasses import asdict
from typing import Any, BinaryIO

from components.errors import PolyEpoError
from components.records import Problem
from components.scoring.verifiers import Item, Verifier, load_verifier

__all__ = ["main"]


def main(verifier_name: str, memory_mib: int, timeout_seconds: float) -> None:
    """Serve requests until standard input ends."""
    limit = memory_mib * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    replies = _private_output()
    try:
        verifier = load_verifier(verifier_name)
    except PolyEpoError as error:
        _send(replies, {"error": _told(error)})
        return
    _send(replies, {"ready": True})
    for line in sys.stdin.buffer:
        request = json.loads(line)
        item = Item(Problem(**request["problem"]), request["completion"], request["truncated"])
        # The parent kills at the limit; this later alarm is for a parent that is gone. Default action: death.
        signal.setitimer(signal.ITIMER_REAL, 2.0 * timeout_seconds + 5.0)
        reply = judge(verifier, item)
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        _send(replies, reply)


def judge(verifier: Verifier, item: Item) -> dict[str, Any]:
    """The reply to one request: a verdict, ``failure`` (the item's fault) or ``error`` (the user's)."""
    try:
        return asdict(verifier(item))
    except PolyEpoError as error:
        return {"error": _told(error)}
    except Exception as error:  # noqa: BLE001 - whatever hostile text provokes is counted, and the next item served
        return {"failure": f"{type(error).__name__}: {error}"[:300]}


def _told(error: PolyEpoError) -> dict[str, str]:
    value = "" if error.value is None else str(error.value)[:200]
    return {"what": error.what, "where": error.where, "value": value, "remedy": error.remedy}


def _private_output() -> BinaryIO:
    """The stream of replies; whatever a verifier prints no longer reaches it."""
    stream = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return stream


def _send(stream: BinaryIO, reply: dict[str, Any]) -> None:
    stream.write(json.dumps(reply).encode() + b"\n")
    stream.flush()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
