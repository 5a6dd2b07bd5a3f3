"""Train, val and test: what belongs together stays together, and the same records are always divided alike."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from fractions import Fraction

SPLITS = ("train", "val", "test")
_SUM_TOLERANCE = 1e-6


class Split:
    """Divides records into train, val and test by whole groups.

    Groups are taken in the order of a hash of their name and the seed, whatever order the records come in. The smallest
    split is filled first, with each group that still fits, then the next one; the largest takes the rest. A split that
    is then short takes the smallest group left, if that brings it nearer to its share or if it would stay empty. So
    shares are met to within half of the smallest group wherever there are small groups. A group larger than a split
    goes to the largest one. When a set grows, most groups stay where they were.

    Args:
        train: Share of the records in train; the three shares sum to 1.
        val: Share of the records in val; 0 for none.
        test: Share of the records in test; 0 for none.
        seed: Seed of the order of the groups.
    """

    def __init__(self, *, train: float = 0.9, val: float = 0.05, test: float = 0.05, seed: int = 0) -> None:
        shares = {"train": train, "val": val, "test": test}
        for name, share in shares.items():
            if not 0 <= share <= 1:
                raise ValueError(f"{name} {share} must lie between 0 and 1")
        if abs(sum(shares.values()) - 1) > _SUM_TOLERANCE:
            raise ValueError(f"train {train}, val {val} and test {test} sum to {sum(shares.values()):g}, not to 1")
        self.train = train
        self.val = val
        self.test = test
        self.seed = seed

    @property
    def shares(self) -> dict[str, float]:
        """The share of each split that is wanted at all, in the order train, val, test."""
        return {name: share for name in SPLITS if (share := getattr(self, name)) > 0}

    def assign(self, group_of: Mapping[str, str]) -> dict[str, str]:
        """The split of each record.

        Args:
            group_of: For each record's id the name of its group.
        """
        sizes = Counter(group_of.values())
        left = sorted(sizes, key=lambda name: (self._hash(name), name))
        shares = sorted(self.shares.items(), key=lambda entry: (entry[1], -SPLITS.index(entry[0])))
        split_of: dict[str, str] = {}
        for split, share in shares[:-1]:
            target = Fraction(str(share)) * len(group_of)
            taken = _fill(left, sizes, target)
            split_of |= dict.fromkeys(taken, split)
            left = [name for name in left if name not in taken]
        split_of |= dict.fromkeys(left, shares[-1][0])
        return {identifier: split_of[group] for identifier, group in group_of.items()}

    def _hash(self, group: str) -> bytes:
        return hashlib.sha256(f"{self.seed}\n{group}".encode()).digest()


def _fill(names: list[str], sizes: Mapping[str, int], target: Fraction) -> set[str]:
    """The groups, in their order, that fit into ``target`` records; one more if that comes nearer or none fits."""
    taken: set[str] = set()
    filled = 0
    for name in names:
        if filled + sizes[name] <= target:
            taken.add(name)
            filled += sizes[name]
    left = [name for name in names if name not in taken]
    if len(left) > 1:
        smallest = min(left, key=sizes.__getitem__)
        if not taken or filled + Fraction(sizes[smallest], 2) < target:
            taken.add(smallest)
    return taken
