"""How a session and its trainer processes talk: small JSON files in one directory, which machines may share.

The session writes ``request.json``; every rank sees it and does as it says; the first one writes ``reply.json`` when
all are done. A request carries the session's name and its number, so that nothing old is taken for something new.
A rank that fails leaves ``fault-RANK.json`` and ends. While it lives it counts on in ``alive-RANK.json``: whoever waits
for it sees that it still does, on whatever machine it runs.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from components.manifest import write_json

__all__ = ["Action", "Mailbox", "Request"]

Action = Literal["load", "update", "save_policy", "save_state", "stop"]
_POLL_SECONDS = 0.01
_BEAT_SECONDS = 5.0


@dataclass(frozen=True)
class Request:
    """One thing to do, its arguments as JSON-like values."""

    session: str
    number: int
    action: Action
    arguments: dict[str, Any]


class Mailbox:
    """The files of one directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)

    def clear(self) -> None:
        """Remove what an earlier session left."""
        for path in self._directory.glob("*.json"):
            path.unlink(missing_ok=True)

    def send(self, request: Request) -> None:
        """Ask all ranks."""
        write_json(self._directory / "request.json", vars(request))

    def receive(self, last: Request | None) -> Request:
        """Wait for a request other than ``last``."""
        while True:
            document = _read(self._directory / "request.json")
            if document is not None:
                request = Request(**document)
                if last is None or (request.session, request.number) != (last.session, last.number):
                    return request
            time.sleep(_POLL_SECONDS)

    def close(self) -> None:
        """Leave no request behind that a later trainer would take for one to it."""
        (self._directory / "request.json").unlink(missing_ok=True)

    def answer(self, request: Request, result: dict[str, float]) -> None:
        """Say that ``request`` is done."""
        write_json(
            self._directory / "reply.json", {"session": request.session, "number": request.number, "result": result}
        )

    def wait(self, request: Request, check: Callable[[], None]) -> dict[str, float]:
        """The result of ``request``; ``check`` is called while there is none and may raise."""
        while True:
            document = _read(self._directory / "reply.json")
            if document is not None and (document["session"], document["number"]) == (request.session, request.number):
                result: dict[str, float] = document["result"]
                return result
            check()
            time.sleep(_POLL_SECONDS)

    def report(self, rank: int, fault: dict[str, Any]) -> None:
        """Leave word of a fault of ``rank``."""
        write_json(self._directory / f"fault-{rank}.json", fault)

    @contextmanager
    def alive(self, rank: int) -> Iterator[None]:
        """Say that ``rank`` is alive for as long as the block runs."""
        ended = threading.Event()
        thread = threading.Thread(target=self._beat, args=(rank, ended), daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _beat(self, rank: int, ended: threading.Event) -> None:
        beat = 0
        while not ended.is_set():
            write_json(self._directory / f"alive-{rank}.json", {"beat": beat})
            beat += 1
            ended.wait(_BEAT_SECONDS)

    def beats(self) -> dict[str, int]:
        """How far every rank has counted, by the rank's number; ranks that have not come yet are not there."""
        files = {path.stem.removeprefix("alive-"): _read(path) for path in self._directory.glob("alive-*.json")}
        return {rank: document["beat"] for rank, document in sorted(files.items()) if document is not None}

    def faults(self) -> list[dict[str, Any]]:
        """The faults that ranks reported, by rank."""
        found = (_read(path) for path in sorted(self._directory.glob("fault-*.json")))
        return [fault for fault in found if fault is not None]


def _read(path: Path) -> dict[str, Any] | None:
    # Files are replaced by one rename: what is there is whole.
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return document
