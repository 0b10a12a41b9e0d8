"""Judging a registered version against whoever is champion, and moving the aliases: safe against kills and rivals.

The decision is noted on the version before the ledger is asked for the next place. A repeat after a kill finds the
note: it takes the place if that is still free, settles if the place is its own, and judges anew if a rival has it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

from components.registry.aliases import check_not_retired, settle
from components.registry.gate import Decision
from components.registry.ledger import Ledger, Move
from components.registry.store import CHALLENGER, CHAMPION, Models, Version

__all__ = ["DECISION_TAG", "VERDICT_TAG", "judge"]

DECISION_TAG, VERDICT_TAG = "poly_epo.decision", "poly_epo.verdict"

Compare = Callable[[Version | None], Decision]
"""The gate's decision against the champion, or against the base policy while there is none."""


def judge(models: Models, version: Version, request: str, compare: Compare) -> Decision:
    """The decision on ``version``: the settled one if this request was decided before, else a new one.

    Args:
        models: the registry.
        version: the registered challenger.
        request: fingerprint of everything the decision depends on but the champion.
        compare: see `Compare`.

    Raises:
        TrackingUnavailable: the registry cannot be reached; repeat the call later.
    """
    ledger = Ledger(models.store, models.name)
    while True:
        length = settle(models, ledger)
        noted = json.loads(models.get(version.number).tags.get(DECISION_TAG, "{}"))
        if noted.get("request") == request:
            decision = Decision.from_dict(noted["decision"])
            if noted["settled"]:
                return decision
            if _is_ours(ledger, noted["place"], version, request):
                _note(models, version, request, decision, noted["place"], settled=True)
                return decision
        check_not_retired(ledger, version)
        champion = models.with_alias(CHAMPION)
        decision = _decide(champion, version, compare)
        if not decision.promoted:
            if champion is None or champion.number != version.number:
                models.move(CHALLENGER, version)
            _note(models, version, request, decision, 0, settled=True)
            return decision
        models.move(CHALLENGER, version)
        _note(models, version, request, decision, length + 1, settled=False)
        old = champion.number if champion else 0
        # Refused when a rival's promotion took this place: then the comparison was with a champion of the past.
        ledger.append(Move("gate", version.number, old, decision=request), length)


def _is_ours(ledger: Ledger, place: int, version: Version, request: str) -> bool:
    moves = ledger.moves()
    if not 0 < place <= len(moves):
        return False
    move = moves[place - 1]
    return (move.champion, move.decision) == (version.number, request)


def _decide(champion: Version | None, version: Version, compare: Compare) -> Decision:
    decision = compare(champion)
    if champion is not None and champion.number == version.number:
        return replace(decision, verdict="unchanged", why="this policy is the champion already", checks=[])
    return decision


def _note(models: Models, version: Version, request: str, decision: Decision, place: int, *, settled: bool) -> None:
    document = {"request": request, "place": place, "settled": settled, "decision": decision.as_dict()}
    models.set_tags(version, {DECISION_TAG: json.dumps(document, sort_keys=True), VERDICT_TAG: decision.verdict})
