"""Many groups asked of several servers: a bounded number under way, each delivered exactly once.

Every server has its own threads, which take the next group from one queue: a faster server takes more of them. What
a server could not answer goes back to the head of the queue. A group is delivered once the server has confirmed the
policy it came from, and by one thread only: nothing is lost, nothing is doubled.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from components.errors import PolyEpoError
from components.rollout.http import Connection, Malformed, Refused, Unreachable
from components.rollout.vllm_client import Completion, GroupRequest, request_group
from components.rollout.vllm_replica import Lost, Outage, Ticket
from components.rollout.vllm_sync import Policy

__all__ = ["Deliver", "PoolLimits", "Server", "sample_groups"]

log = logging.getLogger(__name__)

_END_SECONDS = 5.0

Deliver = Callable[[int, list[Completion]], None]
"""Takes the number of a group and its completions."""


class Server(Protocol):
    """Where groups are asked for: a Replica, or several behind a router (vllm_router). See Replica for what they do."""

    url: str

    @property
    def servers(self) -> list[str]: ...  # noqa: D102

    @property
    def sync_seconds(self) -> float: ...  # noqa: D102

    def ready(self, policy: Policy, stopped: Callable[[], bool]) -> Ticket: ...  # noqa: D102

    def confirm(self, connection: Connection, ticket: Ticket) -> None: ...  # noqa: D102

    def suspect(self, ticket: Ticket | None = None) -> None: ...  # noqa: D102


@dataclass(frozen=True)
class PoolLimits:
    """See the fields of the same names in :class:`components.rollout.params.VllmParams`."""

    max_in_flight: int
    attempts: int
    request_limit_seconds: float


@dataclass
class PoolStats:
    """What a sampling cost this side.

    Attributes:
        client_seconds: processor time of the threads that ask and check.
        repeated: requests that were asked again.
    """

    client_seconds: float = 0.0
    repeated: int = 0


def sample_groups(
    requests: Mapping[int, GroupRequest],
    replicas: Sequence[Server],
    policy: Policy,
    deliver: Deliver,
    limits: PoolLimits,
) -> PoolStats:
    """Ask ``replicas`` for every group and hand each to ``deliver`` as it ends, from several threads.

    Raises:
        PolyEpoError: no server is left that can answer, or one keeps answering badly.
    """
    work = _Work(requests, servers=len(replicas), attempts=limits.attempts)
    threads = [
        threading.Thread(target=_serve, args=(work, replica, policy, deliver, limits), daemon=True)
        for replica in replicas
        for _ in range(_threads(requests.values(), limits.max_in_flight * len(replica.servers)))
    ]
    for thread in threads:
        thread.start()
    try:
        work.wait()
    finally:
        # After a fault or an interruption nobody waits for answers that may take an hour: these threads are daemons.
        work.stop()
        for thread in threads:
            thread.join(_END_SECONDS / len(threads))
    return work.stats


def _threads(requests: Iterable[GroupRequest], max_in_flight: int) -> int:
    """Requests under way on one server: as many as ``max_in_flight`` completions allow, and no more than there are."""
    sizes = [request.group_size for request in requests]
    return min(len(sizes), max(math.floor(max_in_flight / max(sizes)), 1)) if sizes else 0


class _Work:
    """The queue of groups, and how it ends."""

    def __init__(self, requests: Mapping[int, GroupRequest], *, servers: int, attempts: int) -> None:
        self.requests = requests
        self.stats = PoolStats()
        self._waiting = deque(sorted(requests))
        self._left = len(requests)
        self._servers = servers
        self._attempts = attempts
        self._tried: dict[int, int] = {}
        self._given_up: set[str] = set()
        self._fault: BaseException | None = None
        self._changed = threading.Condition()

    def take(self) -> int | None:
        """The next group; waits while all are under way; None when there is nothing left to do."""
        with self._changed:
            while not self._waiting and self._left and self._fault is None:
                self._changed.wait()
            return self._waiting.popleft() if self._waiting and self._fault is None else None

    def done(self) -> None:
        """One more group is delivered."""
        with self._changed:
            self._left -= 1
            self._changed.notify_all()

    def put_back(self, number: int, fault: Exception | None = None) -> None:
        """The group is to be asked for again; a ``fault`` of the server's own counts against its attempts."""
        with self._changed:
            self.stats.repeated += 1
            if fault is not None:
                self._tried[number] = self._tried.get(number, 0) + 1
                if self._tried[number] >= self._attempts:
                    self._fail(
                        PolyEpoError(
                            f"the server answered badly {self._attempts} times: {fault}",
                            where=f"rollout, prompt {number}",
                            remedy="the server's log says why; finished groups are kept",
                        )
                    )
            self._waiting.appendleft(number)
            self._changed.notify_all()

    def attempts_of(self, number: int) -> int:
        """How often the group was answered badly."""
        return self._tried.get(number, 0)

    def give_up(self, url: str, fault: BaseException) -> None:
        """The server at ``url`` is of no use any more; the last one's fault is everybody's."""
        with self._changed:
            if url not in self._given_up and len(self._given_up) + 1 < self._servers:
                log.warning("rollout server %s is left out: %s", url, fault)
            self._given_up.add(url)
            if len(self._given_up) == self._servers:
                self._fail(fault)

    def fail(self, fault: BaseException) -> None:
        """End the sampling with ``fault``."""
        with self._changed:
            self._fail(fault)

    def stop(self) -> None:
        """End all threads; with groups left this is an interruption."""
        if self._left:
            self.fail(Lost("interrupted"))

    @property
    def is_over(self) -> bool:
        """Whether there is nothing left to do."""
        return self._fault is not None or self._left == 0

    def wait(self) -> None:
        """Return when all is delivered; raise what ended the sampling before."""
        with self._changed:
            while not self.is_over:
                self._changed.wait()
        if self._fault is not None:
            raise self._fault

    def _fail(self, fault: BaseException) -> None:
        self._fault = self._fault or fault
        self._changed.notify_all()


def _serve(work: _Work, replica: Server, policy: Policy, deliver: Deliver, limits: PoolLimits) -> None:
    """One thread: take a group, ask ``replica`` for it, deliver it; until nothing is left or the server is given up."""
    connection = Connection(replica.url, timeout=limits.request_limit_seconds)
    begin = time.thread_time()
    number: int | None = None
    try:
        ticket = replica.ready(policy, lambda: work.is_over)
        while (number := work.take()) is not None:
            ticket = replica.ready(policy, lambda: work.is_over)
            _ask(work, replica, connection, ticket, number, deliver)
    except Lost:
        log.debug("%s: the sampling ended while a thread waited", replica.url)
    except Outage as error:
        if number is not None:
            work.put_back(number)
        work.give_up(replica.url, error)
    except BaseException as error:  # noqa: BLE001  (a thread's fault must reach the caller, or all would wait for ever)
        work.fail(error)
    finally:
        connection.close()
        work.stats.client_seconds += time.thread_time() - begin


def _ask(work: _Work, replica: Server, connection: Connection, ticket: Ticket, number: int, deliver: Deliver) -> None:
    """Ask for one group: delivered, or put back."""
    request = work.requests[number]
    length = len(request.prompt_ids) + request.max_new_tokens
    if length > ticket.facts.max_tokens:
        work.fail(
            PolyEpoError(
                f"prompt of {len(request.prompt_ids)} tokens + {request.max_new_tokens} new tokens exceed the"
                f" server's {ticket.facts.max_tokens}",
                where="rollout",
                remedy="lower rollout.max_new_tokens, drop the longest prompts, or start the server with a longer"
                " --max-model-len",
            )
        )
        return
    try:
        completions = request_group(connection, ticket.facts.model, request)
        replica.confirm(connection, ticket)
    except (Unreachable, Lost) as error:
        log.info("group %d is asked for again: %s", number, error)
        replica.suspect(ticket)
        work.put_back(number)
    except (Refused, Malformed) as error:
        _judge(work, replica, ticket, number, error)
    else:
        if not work.is_over:
            deliver(number, completions)
            work.done()


def _judge(work: _Work, replica: Server, ticket: Ticket, number: int, error: Refused | Malformed) -> None:
    """What a bad answer means: the request's fault ends the sampling, the server's is given some attempts."""
    if isinstance(error, Refused) and error.status == 404 and ticket.facts.model == ticket.label:
        log.info("group %d is asked for again: the server lost its adapter", number)
        replica.suspect(ticket)
        work.put_back(number)
        return
    if isinstance(error, Refused) and error.status < 500 and error.status not in (408, 429):
        work.fail(
            PolyEpoError(f"the server refuses the request: {error}", where=replica.url, remedy="its log may say more")
        )
        return
    log.warning("group %d: %s answered badly: %s", number, replica.url, error)
    replica.suspect(ticket)
    time.sleep(min(0.2 * 2 ** work.attempts_of(number), 5.0))
    work.put_back(number, error)
