"""The epoch fence: what a process has met it does not forget."""

from __future__ import annotations

import pytest

from contracts.problem import Unavailable
from services.ledger.fence import Fence
from services.ledger.tables import LedgerRow


def row(epoch: int, name: str = "main") -> LedgerRow:
    return LedgerRow(1, name, epoch)


def test_a_higher_epoch_is_taken_and_a_lower_one_never_again() -> None:
    fence = Fence()
    assert fence.admit(row(1)) == row(1)
    assert fence.admit(row(3)) == row(3)
    fence.admit(row(3))
    for lower in (2, 1):
        with pytest.raises(Unavailable, match=f"in epoch {lower}, and epoch 3 has begun"):
            fence.admit(row(lower))


def test_each_ledger_has_its_own_fence_and_a_floor_holds_from_the_start() -> None:
    fence = Fence({"main": 2})
    fence.admit(row(1, "other"))
    with pytest.raises(Unavailable, match="epoch 1, and epoch 2 has begun"):
        list(map(fence.admit, [row(5, "other"), row(1)]))
    fence.admit(row(2))
