"""The Merkle tree of RFC 6962 §2.1: hashes, inclusion and consistency proofs.

Sizes and indexes are whole numbers from 0. A proof's shape follows from the numbers alone; a proof
that is longer, shorter or made of other than 32 bytes is refused, whatever it leads to.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import TypeAlias

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()
Read: TypeAlias = Callable[[int, int], bytes]
"""(level, index) → hash of the complete subtree over leaves index · 2^level … + 2^level - 1."""


class ProofError(Exception):
    """A proof does not prove what it should; the message says what is wrong."""


def leaf_hash(entry: bytes) -> bytes:
    """Return the hash of a log entry."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root_of(hashes: Sequence[bytes]) -> bytes:
    """Return the root over subtrees of one size, of which the last may be incomplete.

    Pairing neighbours level by level, the odd one moving up, is RFC 6962's MTH.
    """
    if not hashes:
        return EMPTY_ROOT
    row = list(hashes)
    sha256 = hashlib.sha256
    while len(row) > 1:
        odd = row[-1:] if len(row) % 2 else []
        pairs = zip(row[::2], row[1::2], strict=False)
        row = [sha256(b"\x01" + left + right).digest() for left, right in pairs] + odd
    return row[0]


def inclusion_proof(index: int, size: int, read: Read) -> list[bytes]:
    """Return PATH(index, D[size]): siblings from the leaf upwards. Needs index < size."""
    if not 0 <= index < size:
        raise ProofError(f"there is no leaf {index} in a tree of {size}")
    return _path(index, 0, size, read)


def consistency_proof(old: int, new: int, read: Read) -> list[bytes]:
    """Return PROOF(old, D[new]); empty when old is 0 or new. Needs old <= new."""
    if not 0 <= old <= new:
        raise ProofError(f"a tree of {new} does not continue one of {old}")
    return [] if old in {0, new} else _subproof(old, 0, new, read, whole=True)


def verify_inclusion(
    index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes
) -> None:
    """Raise `ProofError` unless the hash `leaf` is leaf `index` of the tree (RFC 9162 §2.1.3)."""
    if not 0 <= index < size:
        raise ProofError(f"there is no leaf {index} in a tree of {size}")
    _check_lengths([leaf, root, *proof])
    node, last, result = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise ProofError("the proof is longer than the way to the root")
        if node % 2 or node == last:
            result = node_hash(sibling, result)
            while not node % 2 and node:
                node, last = node >> 1, last >> 1
        else:
            result = node_hash(result, sibling)
        node, last = node >> 1, last >> 1
    if last:
        raise ProofError("the proof is shorter than the way to the root")
    if result != root:
        raise ProofError("the proof leads to another root")


def verify_consistency(
    old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]
) -> None:
    """Raise `ProofError` unless the tree of `new` continues the one of `old` (RFC 9162 §2.1.4)."""
    _check_lengths([old_root, new_root, *proof])
    if not 0 <= old <= new:
        raise ProofError(f"a tree of {new} does not continue one of {old}")
    if old in {0, new}:
        _check_trivial(old, new, old_root, new_root, proof)
        return
    nodes = list(proof)
    if not old & (old - 1):  # a complete tree is a node of the new one, and its hash is known
        nodes.insert(0, old_root)
    if not nodes:
        raise ProofError("the proof is empty")
    first, second = _climb(old - 1, new - 1, nodes)
    if first != old_root:
        raise ProofError("the proof leads to another old root")
    if second != new_root:
        raise ProofError("the proof leads to another new root")


def _climb(node: int, last: int, nodes: Sequence[bytes]) -> tuple[bytes, bytes]:
    """Return the old and the new root to which a consistency proof leads."""
    while node % 2:
        node, last = node >> 1, last >> 1
    first = second = nodes[0]
    for sibling in nodes[1:]:
        if last == 0:
            raise ProofError("the proof is longer than the way to the root")
        if node % 2 or node == last:
            first, second = node_hash(sibling, first), node_hash(sibling, second)
            while not node % 2 and node:
                node, last = node >> 1, last >> 1
        else:
            second = node_hash(second, sibling)
        node, last = node >> 1, last >> 1
    if last:
        raise ProofError("the proof is shorter than the way to the root")
    return first, second


def _check_trivial(
    old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]
) -> None:
    if proof:
        raise ProofError("nothing is to be proven and yet there is a proof")
    if old == new and old_root != new_root:
        raise ProofError("two trees of one size have different roots")
    if old == 0 and old_root != EMPTY_ROOT:
        raise ProofError("the empty tree has another root")


def _check_lengths(hashes: Sequence[bytes]) -> None:
    if any(len(each) != HASH_BYTES for each in hashes):
        raise ProofError(f"a hash has {HASH_BYTES} bytes")


def _path(index: int, low: int, high: int, read: Read) -> list[bytes]:
    if high - low == 1:
        return []
    middle = low + _split(high - low)
    if index < middle:
        return [*_path(index, low, middle, read), _range(middle, high, read)]
    return [*_path(index, middle, high, read), _range(low, middle, read)]


def _subproof(old: int, low: int, high: int, read: Read, *, whole: bool) -> list[bytes]:
    if old == high:
        return [] if whole else [_range(low, high, read)]
    middle = low + _split(high - low)
    if old <= middle:
        return [*_subproof(old, low, middle, read, whole=whole), _range(middle, high, read)]
    return [*_subproof(old, middle, high, read, whole=False), _range(low, middle, read)]


def _range(low: int, high: int, read: Read) -> bytes:
    """Return MTH over leaves low … high-1; low is a multiple of the next power of two."""
    span = high - low
    if not span & (span - 1):
        level = span.bit_length() - 1
        return read(level, low >> level)
    middle = low + _split(span)
    return node_hash(_range(low, middle, read), _range(middle, high, read))


def _split(span: int) -> int:
    """Return the largest power of two below `span`."""
    return 1 << (span - 1).bit_length() - 1
