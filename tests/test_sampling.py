from __future__ import annotations

from llactr.sampling import in_share

KEYS = [f"key {n}" for n in range(10_000)]


def test_a_share_is_near_its_size_and_the_same_for_everyone() -> None:
    chosen = in_share(KEYS, 0.2)
    assert 0.18 < chosen.mean() < 0.22
    assert in_share([*KEYS[50:60], *KEYS[50:60]], 0.2).tolist() == [*chosen[50:60].tolist()] * 2


def test_shares_lie_within_each_other() -> None:
    small, large = in_share(KEYS, 0.1), in_share(KEYS, 0.6)
    assert not (small & ~large).any()
    assert in_share(KEYS, 1.0).all()
    assert not in_share(KEYS, 0.0).any()
    assert in_share([], 0.5).shape == (0,)
