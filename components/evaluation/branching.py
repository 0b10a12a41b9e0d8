"""What the tokens of completions show: where they part, how long they are, how open the policy was. numpy alone.

Completions come flat, as Parquet keeps them: all token ids one after another, the number of them per completion
(row), and the problem that each row belongs to.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from components.evaluation.estimators import pass_at_k

__all__ = ["branching_curve", "completion_length", "token_entropy"]

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]

_CELLS = 2**22  # tokens compared at once


def branching_curve(
    token_ids: NDArray[np.integer], lengths_R: Int64, problem_R: Int64, positions: Sequence[int], *, draws: int
) -> Float64:
    """Expected number of distinct branches of the prefix tree at token positions, among ``draws`` completions.

    Two completions are on the same branch at position t while their first t tokens are the same; one that has ended
    keeps its branch. Early growth means that completions part early. The number among m of a problem's s completions
    is taken by rarefaction, as `distinct_correct` takes clusters: exact, and comparable between evaluations with other
    numbers of samples.

    Args:
        token_ids: the tokens of all rows, row by row; not negative.
        lengths_R: (R,) tokens per row.
        problem_R: (R,) problem of each row, 0..P-1; every problem has equally many rows.
        positions: T token positions, counted from 1.
        draws: m, at most the rows per problem.

    Returns:
        (P, T) float64.

    Raises:
        PolyEpoError: ``draws`` exceeds the rows per problem.
    """
    problems = int(problem_R.max(initial=-1)) + 1
    curve_PT = np.zeros((problems, len(positions)))
    if not problems:
        return curve_PT
    samples = len(problem_R) // problems
    found = pass_at_k(samples, np.arange(samples + 1), draws)
    starts_R = np.cumsum(lengths_R) - lengths_R
    order = np.argsort(problem_R, kind="stable")
    for rows in _chunks(order, samples, max(positions)):
        tokens_RT = _padded(token_ids, starts_R[rows], lengths_R[rows], max(positions))
        shared_R, owner_R = _shared_prefixes(tokens_RT, problem_R[rows])
        for column, position in enumerate(positions):
            firsts = np.flatnonzero(shared_R < position)
            sizes = np.diff(np.append(firsts, len(rows)))
            curve_PT[:, column] += np.bincount(owner_R[firsts], weights=found[sizes], minlength=problems)
    return curve_PT


def completion_length(lengths_R: Int64, problem_R: Int64) -> Float64:
    """(P,) mean number of tokens per completion, the end-of-sequence token included."""
    return np.bincount(problem_R, weights=lengths_R) / np.bincount(problem_R)


def token_entropy(logprobs: NDArray[np.floating], lengths_R: Int64, problem_R: Int64) -> Float64:
    """(P,) mean entropy of the policy's next-token distribution over the tokens it sampled, in nats.

    Monte-Carlo: a sampled token's -log-probability has the entropy of its distribution as expectation, so the mean
    over tokens needs the log-probabilities of the sampled tokens alone. Positions count equally: the entropy is that
    at a token picked at random among all tokens of the problem's completions.

    Args:
        logprobs: natural log-probabilities of the tokens of all rows, row by row.
        lengths_R: (R,) tokens per row.
        problem_R: (R,) problem of each row; every problem has at least one token.
    """
    surprise = np.bincount(np.repeat(problem_R, lengths_R), weights=-logprobs)
    return surprise / np.bincount(problem_R, weights=lengths_R)


def _chunks(order: Int64, samples: int, width: int) -> Iterator[Int64]:
    """Rows of whole problems, few enough to hold their tokens at once."""
    size = max(_CELLS // (samples * width), 1) * samples
    for start in range(0, len(order), size):
        yield order[start : start + size]


def _padded(token_ids: NDArray[np.integer], starts_R: Int64, lengths_R: Int64, width: int) -> NDArray[np.int32]:
    """(R, width) first tokens of each row, -1 after its end."""
    place_T = np.arange(width)
    inside_RT = place_T < lengths_R[:, None]
    tokens_RT = np.full(inside_RT.shape, -1, dtype=np.int32)
    tokens_RT[inside_RT] = token_ids[(starts_R[:, None] + place_T)[inside_RT]]
    return tokens_RT


def _shared_prefixes(tokens_RT: NDArray[np.int32], problem_R: Int64) -> tuple[Int64, Int64]:
    """Rows put in the order of (problem, tokens): how many first tokens each shares with the one before; its problem.

    The first row of a problem shares -1: it starts a branch at every position.
    """
    order = np.lexsort((*tokens_RT.T[::-1], problem_R))
    tokens_RT, problem_R = tokens_RT[order], problem_R[order]
    differs_RT = tokens_RT[1:] != tokens_RT[:-1]
    shared_R = np.where(differs_RT.any(axis=1), differs_RT.argmax(axis=1), tokens_RT.shape[1])
    shared_R[problem_R[1:] != problem_R[:-1]] = -1
    return np.append(-1, shared_R), problem_R
