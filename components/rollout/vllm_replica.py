"""One server of the pool: up, holding the policy, and known to be so; mended when it is not.

Threads that sample call ``ready`` before a request and ``confirm`` after it. Between the two the server may have died,
been started again by whoever runs it, or been given other weights; ``confirm`` accepts a group only when the server
still says the label that ``put_policy`` wrote, with no mending in between.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from components.errors import PolyEpoError
from components.rollout.http import Connection, Unreachable
from components.rollout.vllm_server import is_healthy
from components.rollout.vllm_sync import (
    Load,
    Policy,
    ServerFacts,
    architecture,
    current_label,
    inspect,
    load_from_files,
    put_policy,
)

__all__ = ["Lost", "Outage", "Replica", "Starter", "Ticket"]

log = logging.getLogger(__name__)

_CONTROL_SECONDS = 600.0  # reading a large policy from disk
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.2, 5.0
_PUTS_IN_VAIN = 3  # a server that loses the policy so often before it answers once dies of what it is asked


class Outage(PolyEpoError):  # noqa: N818
    """A server did not come back: others may go on without it."""


class Lost(Exception):  # noqa: N818
    """What the server sent cannot be attributed to the policy; it is asked for again."""


@dataclass(frozen=True)
class Ticket:
    """A server that is ready, seen at one moment: what it serves, and the label of its weights."""

    facts: ServerFacts
    label: str


class Starter(Protocol):
    """Whoever runs the server's process, where that is us."""

    def ensure_running(self, policy: Policy) -> None:
        """Start the process when it does not run or cannot take ``policy`` in place; return when it answers."""


class Replica:
    """A server at ``url``; used by many threads, mended by one at a time.

    Args:
        url: its address.
        outage_limit: seconds without an answer after which the server is given up.
        starter: starts its process; None: somebody else does.
        load: how weights get into it.
    """

    def __init__(
        self, url: str, *, outage_limit: float, starter: Starter | None = None, load: Load = load_from_files
    ) -> None:
        self.url = url
        self.sync_seconds = 0.0
        self._outage_limit = outage_limit
        self._starter = starter
        self._load = load
        self._mending = threading.Lock()
        self._ticket: Ticket | None = None
        self._policy: Policy | None = None
        self._suspected = False
        self._puts_in_vain = 0

    @property
    def servers(self) -> list[str]:
        """Addresses of the servers behind it: its own."""
        return [self.url]

    def ready(self, policy: Policy, stopped: Callable[[], bool]) -> Ticket:
        """Return when the server holds ``policy``; blocks while it is being mended.

        Args:
            policy: what it is to hold.
            stopped: whether waiting has become pointless.

        Raises:
            Outage: it did not come back in time.
            PolyEpoError: it cannot hold the policy.
            Lost: ``stopped`` said so.
        """
        with self._mending:
            if self._policy != policy:
                self._ticket, self._policy = None, policy
            if self._ticket is None or self._suspected:
                self._ticket = self._mend(policy, stopped)
                self._suspected = False
            return self._ticket

    def confirm(self, connection: Connection, ticket: Ticket) -> None:
        """Make sure that everything since ``ticket`` was given came from its weights.

        Raises:
            Lost: it may not have.
            Unreachable: the server is gone.
        """
        if current_label(connection) != ticket.label:
            raise Lost(f"{self.url} no longer holds the policy it was given")
        self._puts_in_vain = 0

    def suspect(self, ticket: Ticket | None = None) -> None:
        """Look whether the server still holds its policy before it is used again.

        Args:
            ticket: what it was used with when something went wrong; where that is no longer the newest, it was
                looked at since, and nothing is done.
        """
        with self._mending:
            if ticket is None or self._ticket is ticket:
                self._suspected = True

    def _mend(self, policy: Policy, stopped: Callable[[], bool]) -> Ticket:
        begin, pause = time.monotonic(), _FIRST_PAUSE_SECONDS
        connection = Connection(self.url, timeout=_CONTROL_SECONDS)
        try:
            while not stopped():
                try:
                    if self._starter is not None:
                        self._starter.ensure_running(policy)
                    if is_healthy(connection):
                        return self._kept(connection) or self._put(connection, policy)
                except Unreachable as error:
                    log.info("rollout server %s went away while it took the policy: %s", self.url, error)
                waited = time.monotonic() - begin
                if waited > self._outage_limit:
                    raise Outage(
                        f"no vLLM server answers here, for {waited:.0f} s",
                        where=self.url,
                        remedy="start it (`poly-epo rollout-server start`) and run the same command again: no finished"
                        " group is lost",
                    )
                if pause == _LONGEST_PAUSE_SECONDS:
                    log.info("rollout server %s does not answer; waiting for it since %.0f s", self.url, waited)
                time.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
            raise Lost("the sampling has ended")
        finally:
            connection.close()

    def _kept(self, connection: Connection) -> Ticket | None:
        """The ticket there is, where the server still says its label: a dropped connection alone loses nothing."""
        kept = self._ticket is not None and current_label(connection) == self._ticket.label
        return self._ticket if kept else None

    def _put(self, connection: Connection, policy: Policy) -> Ticket:
        facts = inspect(connection)
        if (facts.root / "config.json").is_file() and architecture(facts.root) != architecture(policy.directory):
            raise PolyEpoError(
                "the server was started with a model of another configuration than the policy's",
                where=f"{self.url}, {facts.root}",
                remedy=f"start it again with --model {policy.directory}",
            )
        self._puts_in_vain += 1
        if self._puts_in_vain > _PUTS_IN_VAIN:
            raise PolyEpoError(
                f"the server lost the policy {_PUTS_IN_VAIN} times without answering one request",
                where=self.url,
                remedy="its log says why it ends, or who else uses it",
            )
        begin = time.monotonic()
        label = put_policy(connection, policy, self._load)
        self.sync_seconds += time.monotonic() - begin
        log.debug("rollout server %s holds policy %d", self.url, policy.version)
        return Ticket(facts if policy.adapter is None else replace(facts, model=label), label)
