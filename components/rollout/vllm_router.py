"""Several servers behind one address: a router spreads the requests, the control routes are each server's own.

A router (vllm-router, or any proxy that balances) passes on completions. It cannot put a policy into every server nor
say what each holds, so that goes past it, to the servers' own addresses: a group of completions counts when *every*
server held its policy from before the request until after it, whichever of them answered.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from components.rollout.http import Connection
from components.rollout.vllm_replica import Replica, Ticket
from components.rollout.vllm_sync import Policy

__all__ = ["RoutedReplicas"]

_CONFIRM_SECONDS = 60.0


class RoutedReplicas:
    """Servers behind the router at ``url``, as one replica of the pool.

    Args:
        url: the router's address.
        replicas: the servers behind it, by their own addresses.
    """

    def __init__(self, url: str, replicas: Sequence[Replica]) -> None:
        self.url = url
        self._replicas = list(replicas)
        self._tickets: dict[str, tuple[Ticket, ...]] = {}

    @property
    def servers(self) -> list[str]:
        """Addresses of the servers."""
        return [replica.url for replica in self._replicas]

    @property
    def sync_seconds(self) -> float:
        """Spent putting policies into the servers, summed over them."""
        return sum(replica.sync_seconds for replica in self._replicas)

    def ready(self, policy: Policy, stopped: Callable[[], bool]) -> Ticket:
        """See Replica.ready: all of them are."""
        tickets = tuple(replica.ready(policy, stopped) for replica in self._replicas)
        label = " ".join(ticket.label for ticket in tickets)
        self._tickets.setdefault(label, tickets)
        shortest = min(ticket.facts.max_tokens for ticket in tickets)
        return Ticket(replace(tickets[0].facts, max_tokens=shortest), label)

    def confirm(self, connection: Connection, ticket: Ticket) -> None:
        """See Replica.confirm, asked of every server; the ``connection`` leads to the router, which cannot say it."""
        for replica, own in zip(self._replicas, self._tickets[ticket.label], strict=True):
            control = Connection(replica.url, timeout=_CONFIRM_SECONDS)
            try:
                replica.confirm(control, own)
            finally:
                control.close()

    def suspect(self, ticket: Ticket | None = None) -> None:
        """See Replica.suspect: whichever answered badly, all are looked at."""
        tickets: Sequence[Ticket | None] = [None] * len(self._replicas)
        if ticket is not None:
            tickets = self._tickets[ticket.label]
        for replica, own in zip(self._replicas, tickets, strict=True):
            replica.suspect(own)
