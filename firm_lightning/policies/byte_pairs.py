"""Byte-pair merges from word counts, the same at every call.

The trainer of ``tokenizers`` numbers the ends of words in an order that changes from call to call, so that a toy
tokenizer made on the spot would not be the one that the weights were made for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import pairwise
from typing import Final

WORD_END: Final = "</w>"
"""Ends the last piece of a word, as in CLIP's vocabulary."""


def byte_pairs(words: Mapping[str, int]) -> list[tuple[str, str]]:
    """Byte-pair merges, most frequent pair first, until every word is whole (arXiv 1508.07909).

    Args:
        words: Word -> how often it comes.
    """
    split = {(*word[:-1], word[-1] + WORD_END): count for word, count in words.items()}
    merges = []
    while split := {word: count for word, count in split.items() if len(word) > 1}:
        pairs: Counter[tuple[str, str]] = Counter()
        for word, count in split.items():
            for pair in pairwise(word):
                pairs[pair] += count
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(best)
        split = {_merged(word, best): count for word, count in split.items()}
    return merges


def _merged(word: tuple[str, ...], pair: tuple[str, str]) -> tuple[str, ...]:
    merged: list[str] = []
    for piece in word:
        if merged and (merged[-1], piece) == pair:
            merged[-1] += piece
        else:
            merged.append(piece)
    return tuple(merged)
