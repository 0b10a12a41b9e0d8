"""maj@k: what a majority vote among k of s samples would give, exactly where that is cheap. numpy alone.

A vote draws k samples without replacement. Its outcome depends on the answers' counts alone, so the expectation is a
sum over vote counts (x_1, x_2, ...) with the weights of the multivariate hypergeometric distribution. For each winning
count v the sum runs over the answers that were given at least v times, one by one; all the others can neither tie nor
win, and their ways to fill up the k draws are one binomial (Vandermonde's identity). So the work per problem is at most
about 2 s k^2 additions of positive numbers, whatever the number of answers: no cancellation, every digit kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import comb

import numpy as np
from numpy.typing import ArrayLike, NDArray

from components.errors import PolyEpoError
from components.evaluation.counts import check_k, integers

__all__ = ["Majority", "is_exact", "majority_at_k"]

Float64 = NDArray[np.float64]

EXACT_WORK = 2_000_000  # additions per problem up to which the exact expectation is taken
_EXACT_SAMPLES = 1000  # binomials of more samples overflow float64
_CHUNK = 512  # problems whose tables are held at once


@dataclass(frozen=True)
class Majority:
    """maj@k of P problems.

    Attributes:
        accuracy_P: (P,) chance that the winning answer is correct.
        share_P: (P,) mean share of the k votes that the winning answer takes.
    """

    accuracy_P: Float64
    share_P: Float64


def is_exact(samples: int, k: int) -> bool:
    """Whether maj@k of ``samples`` samples is taken exactly rather than by Monte-Carlo."""
    return samples <= _EXACT_SAMPLES and 2 * samples * k * k <= EXACT_WORK


def majority_at_k(answers_PS: ArrayLike, correct_PS: ArrayLike, k: int, *, draws: int, seed: int) -> Majority:
    """Majority vote among k samples drawn without replacement; ties are broken at random.

    The exact expectation where `is_exact` says so (128 samples: k up to 88), else seeded Monte-Carlo: ``draws`` votes
    per problem, with a stream of random numbers of its own for each problem's place in the array, so that the errors
    of the draws average out over problems. A sample without an answer casts no vote but uses up its draw; a vote
    without any answer is lost. Where equal answers were judged differently, the winner counts with the share of its
    samples that are correct.

    Args:
        answers_PS: (P, S) integer answer ids, equal ids = equal answers within a problem, -1 = no answer.
        correct_PS: (P, S) whether each sample is correct.
        k: votes, 1 <= k <= S.
        draws: votes held per problem by Monte-Carlo.
        seed: of the draws and of the ties.

    Raises:
        PolyEpoError: k exceeds S, or the shapes differ.
    """
    answers, correct = integers(answers_PS, "answers"), np.asarray(correct_PS, dtype=bool)
    if answers.ndim != 2 or answers.shape != correct.shape:
        raise PolyEpoError(
            "answers and correct must both be (problems, samples)",
            where="majority@k",
            value=(answers.shape, correct.shape),
        )
    samples = answers.shape[1]
    check_k(k, samples, "majority@k")
    tallies = [_tally(answers_S, correct_S) for answers_S, correct_S in zip(answers, correct, strict=True)]
    if is_exact(samples, k):
        parts = [_exact(tallies[start : start + _CHUNK], samples, k) for start in range(0, len(tallies), _CHUNK)]
    else:
        parts = [_drawn(tally, samples, k, draws, np.random.default_rng([seed, i])) for i, tally in enumerate(tallies)]
    accuracy_P, share_P = np.concatenate([np.zeros((2, 0)), *parts], axis=1)
    return Majority(accuracy_P, share_P)


_Tally = tuple[NDArray[np.int64], Float64]


def _tally(answers_S: NDArray[np.int64], correct_S: NDArray[np.bool_]) -> _Tally:
    """Counts of the answers, most frequent first, and the share of each that is correct."""
    given = answers_S >= 0
    _, inverse, counts = np.unique(answers_S[given], return_inverse=True, return_counts=True)
    accuracy = np.bincount(inverse, weights=correct_S[given], minlength=len(counts)) / np.maximum(counts, 1)
    order = np.argsort(-counts, kind="stable")
    return counts[order], accuracy[order]


def _exact(tallies: list[_Tally], samples: int, k: int) -> Float64:
    """(2, P) expected accuracy and share."""
    answers = max((len(counts) for counts, _ in tallies), default=0)
    counts_PA = np.array([np.pad(counts, (0, answers - len(counts))) for counts, _ in tallies], dtype=np.int64)
    accuracy_PA = np.array([np.pad(accuracy, (0, answers - len(accuracy))) for _, accuracy in tallies])
    binomials = np.array([[float(comb(m, x)) for x in range(k + 1)] for m in range(samples + 1)])
    result: Float64 = np.zeros((2, len(tallies)))
    for votes in range(1, k + 1):
        result += _won_with(votes, counts_PA.reshape(len(tallies), answers), accuracy_PA, samples, k, binomials)
    return np.asarray(result / binomials[samples, k])


def _won_with(
    votes: int, counts_PA: NDArray[np.int64], accuracy_PA: Float64, samples: int, k: int, binomials: Float64
) -> Float64:
    """(2, P) parts of accuracy and share, in ways to draw, of the draws that are won with exactly ``votes`` votes."""
    problems, ties = len(counts_PA), k // votes + 1
    # ways[0, p, t, n]: ways to draw n samples of the answers so far, t of them with exactly `votes` votes, none with
    # more; ways[1]: the same, each way weighted with the summed accuracy of its t answers.
    ways = np.zeros((2, problems, ties, k + 1))
    ways[0, :, 0, 0] = 1.0
    big_P = (counts_PA >= votes).sum(axis=1)
    for answer in range(int(big_P.max(initial=0))):
        active = np.flatnonzero(big_P > answer)
        # What the answers so far can reach: `answer` ties and answer * votes draws; one more of each after this one.
        before = ways[:, active, : min(answer + 1, ties), : min(answer * votes, k) + 1]
        tie, drawn = min(answer + 2, ties), min((answer + 1) * votes, k) + 1
        weights = binomials[counts_PA[active, answer]][:, : votes + 1, None, None]
        accuracy = accuracy_PA[active, answer][:, None, None]
        ways[:, active, :tie, :drawn] = _with_answer(before, (tie, drawn), weights, accuracy)
    rest_P = samples - np.where(counts_PA >= votes, counts_PA, 0).sum(axis=1)
    by_ties = np.einsum("cptn,pn->cpt", ways[:, :, 1:], binomials[rest_P][:, ::-1])
    accuracy_P = (by_ties[1] / np.arange(1, ties)).sum(axis=1)
    return np.stack([accuracy_P, by_ties[0].sum(axis=1) * votes / k])


def _with_answer(before: Float64, size: tuple[int, int], weights: Float64, accuracy: Float64) -> Float64:
    """The table of ways after one more answer, which takes 0, 1, ... or, as one of the tied, the winning votes.

    ``before`` is (2, problems, ties, draws), the result (2, problems, *size), ``weights`` (problems, votes + 1, 1, 1):
    ways to draw that many of the answer's samples; ``accuracy`` (problems, 1, 1).
    """
    votes = weights.shape[1] - 1
    after = np.zeros((*before.shape[:2], *size))
    for x in range(votes):
        width = min(before.shape[3], size[1] - x)
        after[:, :, : before.shape[2], x : x + width] += weights[:, x] * before[..., :width]
    width = min(before.shape[3], size[1] - votes)
    tied = weights[:, votes] * before[:, :, : size[0] - 1, :width]
    tied[1] += accuracy * tied[0]
    after[:, :, 1:, votes : votes + width] += tied
    return after


def _drawn(tally: _Tally, samples: int, k: int, draws: int, rng: np.random.Generator) -> Float64:
    """(2, 1) accuracy and share of one problem by Monte-Carlo."""
    counts, accuracy = tally
    if not len(counts):
        return np.zeros((2, 1))
    pool = np.append(counts, samples - counts.sum())
    drawn = rng.multivariate_hypergeometric(pool, k, size=draws, method="count" if len(pool) > k else "marginals")
    drawn = drawn[:, :-1]
    # Below one vote: it decides ties and nothing else.
    winner = np.argmax(drawn + rng.random(drawn.shape) * (drawn > 0), axis=1)
    won = drawn[np.arange(draws), winner]
    return np.array([[np.where(won > 0, accuracy[winner], 0.0).mean()], [won.mean() / k]])
