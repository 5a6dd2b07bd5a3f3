from __future__ import annotations

import numpy as np

from firm_lightning.data.batching import EpochPlace, LengthGroupedSampler


def sampler(count: int = 1000, **settings: int) -> LengthGroupedSampler:
    lengths = np.random.default_rng(0).integers(1, 500, size=count)
    return LengthGroupedSampler(lengths, **({"batch_size": 8} | settings))


def test_every_record_comes_once() -> None:
    assert sorted(sampler()) == list(range(1000))


def test_batches_hold_records_of_like_length() -> None:
    grouped = sampler()
    order = np.array(list(grouped))
    spread = np.ptp(grouped.lengths[order].reshape(-1, 8), axis=1).mean()
    shuffled = np.ptp(np.random.default_rng(1).permutation(grouped.lengths).reshape(-1, 8), axis=1).mean()
    assert spread < shuffled / 10


def test_order_depends_on_seed_and_epoch_alone() -> None:
    first, again, other = sampler(), sampler(), sampler(seed=1)
    assert list(first) == list(again)
    assert list(first) != list(other)
    again.set_epoch(1)
    assert list(first) != list(again)


def test_processes_share_the_records_and_see_like_lengths_together() -> None:
    ranks = [sampler(count=96, num_replicas=2, rank=rank) for rank in (0, 1)]
    orders = [list(rank) for rank in ranks]
    assert sorted(orders[0] + orders[1]) == list(range(96))
    for start in range(0, 48, 8):
        lengths = [ranks[0].lengths[order[start : start + 8]] for order in orders]
        assert abs(np.mean(lengths[0]) - np.mean(lengths[1])) < 60


def test_processes_get_equally_many_when_records_do_not_divide() -> None:
    orders = [list(sampler(count=21, batch_size=4, num_replicas=2, rank=rank)) for rank in (0, 1)]
    assert [len(order) for order in orders] == [11, 11]
    assert set(orders[0] + orders[1]) == set(range(21))


def test_a_resumed_epoch_leaves_out_what_is_done_and_keeps_its_length() -> None:
    whole = list(sampler())
    resumed = sampler()
    resumed.resume(EpochPlace(epoch=0, batches=3))
    assert list(resumed) == whole[24:]
    assert len(resumed) == 1000
    resumed.set_epoch(1)
    assert len(list(resumed)) == 1000
