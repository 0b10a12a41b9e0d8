"""Contamination: is a problem that is evaluated among those that are trained on, as it stands or hardly changed?

Two prompts are compared as sequences of tokens (words, numbers, operators; case, white space, most punctuation and
LaTeX's dollars and braces do not count):

- *equal*: the same tokens.
- *overlap*: at least ``share`` of the evaluated prompt's own n-grams stand in one training prompt that has the same
  numbers; or nearly all of them, in one that has all its numbers and more. n is 13 for prompts of 100 tokens or more
  (as in Brown et al. 2020, arXiv 2005.14165), 8 from 50 tokens on and 5 below: one changed word must not break most
  of the n-grams. With fewer than ``min_words`` words only equality counts: the short equations of a synthetic domain
  all look alike.

An n-gram that stands in more than ``common`` training prompts, or in more than ``common`` evaluated ones, is wording
that many problems share (an instruction, a template) and is nobody's own. Numbers must agree because a template with
other numbers is another problem.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

__all__ = ["Overlap", "find_contamination", "tokens"]

UInt64 = NDArray[np.uint64]
Int64 = NDArray[np.int64]

_TOKEN = re.compile(r"\d+(?:\.\d+)?|[^\W\d_]+|[^\w\s]|_")
_UNCOUNTED = frozenset(".,;:?\"'`$\\{}’‘“”")
_SIZES = ((100, 13), (50, 8), (0, 5))  # tokens of the evaluated prompt, from the first that fits on: n
_BASE = np.uint64(0x9E3779B97F4A7C15)
_TABLE_BITS = 22
_WHOLE = 0.9  # from this share on the evaluated prompt stands inside the training prompt


@dataclass(frozen=True)
class Overlap:
    """One evaluated prompt that stands among the training prompts.

    Attributes:
        evaluated: its row, from 0.
        train: the training row it overlaps most, from 0.
        share: 1.0 for equal prompts, else the share of its own n-grams that the training row holds.
        equal: whether the two have the same tokens.
    """

    evaluated: int
    train: int
    share: float
    equal: bool


def find_contamination(
    train: Sequence[str],
    evaluated: Sequence[str],
    *,
    share: float = 0.75,
    common: int = 10,
    min_words: int = 8,
) -> list[Overlap]:
    """Every prompt of ``evaluated`` that equals or overlaps one of ``train``, in order, each once.

    Args:
        train: prompts that are trained on.
        evaluated: prompts that are evaluated.
        share: least share of an evaluated prompt's own n-grams in one training prompt.
        common: an n-gram in more prompts than this is shared wording.
        min_words: evaluated prompts with fewer words of two letters or more are compared by equality alone.
    """
    train_tokens = [tokens(prompt) for prompt in train]
    evaluated_tokens = [tokens(prompt) for prompt in evaluated]
    first_row: dict[tuple[str, ...], int] = {}
    for row, sequence in enumerate(train_tokens):
        first_row.setdefault(tuple(sequence), row)
    found = {
        row: Overlap(row, first_row[tuple(sequence)], 1.0, equal=True)
        for row, sequence in enumerate(evaluated_tokens)
        if sequence and tuple(sequence) in first_row
    }
    compared = [
        row
        for row, sequence in enumerate(evaluated_tokens)
        if row not in found and sum(len(token) > 1 and token.isalpha() for token in sequence) >= min_words
    ]
    rows_of_size: dict[int, list[int]] = {}
    for row in compared:
        size = next(size for least, size in _SIZES if len(evaluated_tokens[row]) >= least)
        rows_of_size.setdefault(size, []).append(row)
    if rows_of_size:
        corpus, targets = _Corpus.of(train_tokens), _Corpus.of(evaluated_tokens)
        for size, rows in rows_of_size.items():
            found |= {overlap.evaluated: overlap for overlap in _overlaps(corpus, targets, rows, size, share, common)}
    return [found[row] for row in sorted(found)]


def tokens(prompt: str) -> list[str]:
    """Words, numbers and operators of a prompt in compatibility form and lower case."""
    folded = unicodedata.normalize("NFKC", prompt).casefold()
    return [token for token in _TOKEN.findall(folded) if token not in _UNCOUNTED]


@dataclass(frozen=True)
class _Corpus:
    """All tokens of several sequences in one array.

    Attributes:
        hashes_T: a well-spread 64-bit number for each token.
        owner_T: the sequence each token stands in.
        sequences: the tokens themselves.
    """

    hashes_T: UInt64
    owner_T: Int64
    sequences: Sequence[Sequence[str]]

    @classmethod
    def of(cls, sequences: Sequence[Sequence[str]]) -> _Corpus:
        flat = list(chain.from_iterable(sequences))
        known = {
            token: int.from_bytes(hashlib.blake2b(token.encode(), digest_size=8).digest(), "little")
            for token in set(flat)
        }
        hashes = np.fromiter(map(known.__getitem__, flat), dtype=np.uint64, count=len(flat))
        lengths = np.array([len(sequence) for sequence in sequences], dtype=np.int64)
        return cls(hashes, np.repeat(np.arange(len(sequences)), lengths), sequences)

    def ngrams(self, size: int) -> tuple[UInt64, Int64]:
        """Hashes of all n-grams of ``size`` tokens, and the sequence each stands in."""
        windows = max(len(self.hashes_T) - size + 1, 0)
        grams = np.zeros(windows, dtype=np.uint64)
        for offset in range(size):
            grams = grams * _BASE + self.hashes_T[offset : offset + windows]
        inside = self.owner_T[:windows] == self.owner_T[size - 1 : size - 1 + windows]
        return grams[inside], self.owner_T[:windows][inside]

    def numbers(self, row: int) -> Counter[str]:
        """How often each number stands in one sequence."""
        return Counter(token for token in self.sequences[row] if token[0].isdigit())


def _overlaps(
    train: _Corpus, evaluated: _Corpus, rows: Sequence[int], size: int, share: float, common: int
) -> Iterator[Overlap]:
    """The best overlap of each of ``rows`` by n-grams of ``size`` tokens, where it reaches ``share``."""
    theirs, their_row = evaluated.ngrams(size)
    wanted = np.isin(their_row, rows)
    grams = np.sort(theirs[wanted])
    grams = grams[np.append(True, grams[1:] != grams[:-1])[: len(grams)]]
    if not len(grams):
        return
    ours, our_row = train.ngrams(size)
    ours, our_row = _within(ours, our_row, grams)
    gram_train, row_train = _distinct_pairs(np.searchsorted(grams, ours), our_row)
    gram_evaluated, row_evaluated = _distinct_pairs(np.searchsorted(grams, theirs[wanted]), their_row[wanted])
    rare = np.bincount(gram_train, minlength=len(grams)) <= common
    rare &= np.bincount(gram_evaluated, minlength=len(grams)) <= common
    holders: dict[int, list[int]] = {}
    for gram, row in zip(gram_train[rare[gram_train]].tolist(), row_train[rare[gram_train]].tolist(), strict=True):
        holders.setdefault(gram, []).append(row)
    own: dict[int, list[int]] = {}
    kept = rare[gram_evaluated]
    for gram, row in zip(gram_evaluated[kept].tolist(), row_evaluated[kept].tolist(), strict=True):
        own.setdefault(row, []).append(gram)
    for row, row_grams in own.items():
        counts = Counter(other for gram in row_grams for other in holders.get(gram, ()))
        enough = sorted((-count, other) for other, count in counts.items() if count >= share * len(row_grams))
        for count, other in enough:
            numbers, others = evaluated.numbers(row), train.numbers(other)
            found = -count / len(row_grams)
            if numbers == others or (found >= _WHOLE and numbers <= others):
                yield Overlap(row, other, found, equal=False)
                break


def _within(hashes: UInt64, rows: Int64, wanted: UInt64) -> tuple[UInt64, Int64]:
    """Those of ``hashes``, with their rows, that are among ``wanted``, which is sorted and not empty."""
    # A table of their first bits first: it drops nearly all of millions at the cost of one look-up each.
    table = np.zeros(1 << _TABLE_BITS, dtype=bool)
    shift = np.uint64(64 - _TABLE_BITS)
    table[wanted >> shift] = True
    likely = table[hashes >> shift]
    hashes, rows = hashes[likely], rows[likely]
    place = np.minimum(np.searchsorted(wanted, hashes), len(wanted) - 1)
    exact = wanted[place] == hashes
    return hashes[exact], rows[exact]


def _distinct_pairs(grams: Int64, rows: Int64) -> tuple[Int64, Int64]:
    """Every (n-gram, row) once."""
    width = int(rows.max(initial=0)) + 1
    keys = np.sort(grams.astype(np.int64) * width + rows)
    keys = keys[np.append(True, keys[1:] != keys[:-1])[: len(keys)]]
    return keys // width, keys % width
