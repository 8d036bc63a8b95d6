"""A tree as files: a log of others made again byte for byte, and any growth equal to one step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kit.tlog import checkpoint, merkle, tiles
from services.kit.tlog.checkpoint import Checkpoint
from services.kit.tlog.merkle import ProofError, leaf_hash
from services.kit.tlog.note import Ed25519Signer
from services.kit.tlog.tiles import Edge, Files, NotATile, Tile, TileReader

ENTRIES = (
    b"one two three four five six seven eit nain ten ileven twelf threeten fourten fivten".split()
)
ORIGIN = "example.com/log/testdata"
# Published with that log, for tests: it signs nothing else.
SIGNER = Ed25519Signer.parse(
    f"PRIVATE+KEY+{ORIGIN}+33d7b496+AeymY/SZAX0jZcJ8enZ5FY1Dz+wTML2yWSkK+9DSF3eg"
)


@pytest.mark.parametrize("size", range(16))
def test_the_log_of_tessera_is_made_again_byte_for_byte(vectors: Any, size: int) -> None:
    log = vectors / "tessera-log"
    edge, files = Edge().grow(ENTRIES[:size])
    for path, content in files.items():
        assert (log / path).read_bytes() == content, path
    signed = checkpoint.sign(Checkpoint(ORIGIN, size, edge.root), SIGNER)
    assert signed.content == (log / f"checkpoint.{size}").read_bytes()


def entry(n: int) -> bytes:
    return b"entry %d" % n


@given(st.lists(st.integers(0, 700), min_size=1, max_size=5), st.data())
def test_any_steps_lead_to_the_tree_of_one_step(steps: list[int], data: st.DataObject) -> None:
    edge, files = Edge(), dict[str, bytes]()
    for step in steps:
        edge, fresh = edge.grow([entry(edge.size + n) for n in range(step)])
        files |= fresh
    size = sum(steps)
    whole, all_files = Edge().grow([entry(n) for n in range(size)])
    assert edge == whole
    assert all_files.items() <= files.items()
    assert edge.root == merkle.root_of([leaf_hash(entry(n)) for n in range(size)])
    read = TileReader(size, edge.root, files.get)
    assert read.edge() == edge
    if size:
        index = data.draw(st.integers(0, size - 1))
        proof = merkle.inclusion_proof(index, size, read.read)
        merkle.verify_inclusion(index, size, leaf_hash(entry(index)), proof, edge.root)
        old = data.draw(st.integers(0, size))
        older = Edge().grow([entry(n) for n in range(old)])[0].root
        consistent = merkle.consistency_proof(old, size, read.read)
        merkle.verify_consistency(old, size, older, edge.root, consistent)
        assert read.entries(index // 256)[index % 256] == entry(index)


SIZE = 66_000
"""More than one full tile of level 1."""


@pytest.fixture(scope="module")
def large() -> tuple[Edge, Files]:
    return Edge().grow([entry(n) for n in range(SIZE)])


def test_three_levels_are_read_and_proven(large: tuple[Edge, Files]) -> None:
    edge, files = large
    read = TileReader(SIZE, edge.root, files.get)
    assert "tile/2/000.p/1" in files
    for index in (0, 255, 256, 65_535, 65_536, SIZE - 1):
        proof = merkle.inclusion_proof(index, SIZE, read.read)
        merkle.verify_inclusion(index, SIZE, leaf_hash(entry(index)), proof, edge.root)


@pytest.mark.parametrize(
    "path", ["tile/0/000", "tile/1/000", "tile/2/000.p/1", "tile/0/257.p/208", "tile/entries/003"]
)
def test_a_changed_missing_or_cut_file_is_noticed(large: tuple[Edge, Files], path: str) -> None:
    edge, files = large
    bent = bytearray(files[path])
    bent[len(bent) // 2] ^= 1
    for content in (bytes(bent), files[path][:-1], files[path] + b"\x00" * 32, None):
        served = {**files, path: content}
        with pytest.raises(ProofError):
            _read_all(edge, served, path)


def _read_all(edge: Edge, served: Mapping[str, bytes | None], path: str) -> None:
    read = TileReader(SIZE, edge.root, served.get)
    read.read(0, 0)
    read.entries(Tile.parse(path).index)


def test_a_full_tile_stands_in_for_a_partial_one_that_is_gone() -> None:
    edge, files = Edge().grow([entry(n) for n in range(100)])
    later = edge.grow([entry(n) for n in range(100, 300)])[1]
    read = TileReader(100, edge.root, later.get)
    assert read.entries(0) == [entry(n) for n in range(100)]
    assert files["tile/0/000.p/100"] == later["tile/0/000"][:3200]


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (Tile(0, 0), "tile/0/000"),
        (Tile(0, 273, 112), "tile/0/273.p/112"),
        (Tile(None, 1234067), "tile/entries/x001/x234/067"),
        (Tile(3, 1000), "tile/3/x001/000"),
    ],
)
def test_paths_are_those_of_the_specification(tile: Tile, path: str) -> None:
    assert tile.path == path
    assert Tile.parse(path) == tile


@pytest.mark.parametrize(
    "path",
    [
        "tile/8/000", "tile/00/000", "tile/0/00", "tile/0/x000/001", "tile/0/001/000",
        "tile/0/000.p/0", "tile/0/000.p/256", "tile/0/000.p/01", "tile/0/000/", "/tile/0/000",
        "tile/0/../000", "tile/entries/000.p/999", "tile/0/٠٠٠",
    ],
)  # fmt: skip
def test_other_paths_are_none(path: str) -> None:
    with pytest.raises(NotATile):
        Tile.parse(path)


def test_bundles_are_read_strictly() -> None:
    content = tiles.bundle([b"", b"a", b"x" * 65_535])
    assert tiles.unbundle(content, 3) == [b"", b"a", b"x" * 65_535]
    for bad, width in ((content[:-1], 3), (content, 2), (content, 4), (b"\x00", 1)):
        with pytest.raises(NotATile):
            tiles.unbundle(bad, width)
    with pytest.raises(ValueError, match="65535"):
        Edge().grow([b"x" * 65_536])
