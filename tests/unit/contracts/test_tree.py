"""The tree is RFC 6962's: published vectors, every small size, and proofs that were bent."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.contracts import tree
from appliance.contracts.tree import Frontier

# From the reference implementation of Certificate Transparency (merkletree test data).
INPUTS = [
    "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f",
]  # fmt: skip
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
LEAVES = [tree.leaf_hash(bytes.fromhex(text)) for text in INPUTS]
MANY = [tree.leaf_hash(bytes([n])) for n in range(70)]


@pytest.mark.parametrize("size", range(1, 9))
def test_roots_are_those_of_the_reference_implementation(size):
    assert tree.root(size, tree.over(LEAVES)).hex() == ROOTS[size - 1]


def test_a_tree_without_leaves_has_the_root_of_the_rfc():
    assert tree.root(0, tree.over([])).hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert Frontier().root() == tree.EMPTY_ROOT


def test_proofs_are_those_of_the_reference_implementation():
    # The published path of leaf 5 in the tree of 8, and the published consistency proof from 6 to 8.
    assert [node.hex() for node in tree.inclusion(5, 8, tree.over(LEAVES))] == [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ]
    assert [node.hex() for node in tree.consistency(6, 8, tree.over(LEAVES))] == [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ]


def test_every_leaf_of_every_small_tree_is_proved_and_nothing_else_is():
    for size in range(1, 40):
        subtree = tree.over(MANY[:size])
        root = tree.root(size, subtree)
        for index in range(size):
            path = tree.inclusion(index, size, subtree)
            assert tree.is_included(MANY[index], index, size, path, root)
            assert not tree.is_included(MANY[index + 1], index, size, path, root)
            assert not tree.is_included(MANY[index], index, size, [*path, root], root)
            assert not path or not tree.is_included(MANY[index], index, size, path[:-1], root)
            # A path may fit a neighbouring size, never this root at another place.
            assert not any(tree.is_included(MANY[index], i, size, path, root) for i in range(size) if i != index)


def test_every_small_tree_is_the_beginning_of_every_larger_one_and_of_no_other():
    for new in range(1, 34):
        subtree = tree.over(MANY[:new])
        root = tree.root(new, subtree)
        for old in range(new + 1):
            path = tree.consistency(old, new, subtree)
            before = tree.root(old, tree.over(MANY[:old]))
            assert tree.is_consistent(old, new, before, root, path)
            assert not tree.is_consistent(old, new, MANY[69], root, path)
            # The empty tree is the beginning of every one.
            assert not old or not tree.is_consistent(old, new, before, MANY[69], path)
            assert not tree.is_consistent(old, new, before, root, [*path, MANY[69]])


@given(st.integers(0, 70), st.integers(0, 70), st.lists(st.sampled_from(MANY), max_size=9), st.sampled_from(MANY))
def test_made_up_proofs_prove_nothing(index, size, path, leaf):
    root = tree.root(70, tree.over(MANY))

    assert not tree.is_included(leaf, index, size, path, root) or MANY[index] == leaf
    assert not tree.is_consistent(index, size, leaf, root, path)


@given(st.integers(0, 70))
def test_a_frontier_grown_leaf_by_leaf_is_the_tree(size):
    frontier = Frontier()
    for leaf in MANY[:size]:
        frontier.push(leaf)

    subtree = tree.over(MANY)
    assert (frontier.size, frontier.root()) == (size, tree.root(size, subtree))
    assert list(frontier.runs) == [(height, subtree(height, n)) for height, n in tree.peaks(size)]


@given(st.integers(0, 64).filter(lambda n: n % 8 == 0), st.integers(0, 6))
def test_a_frontier_goes_on_from_whole_runs(before, more):
    subtree = tree.over(MANY)
    frontier = Frontier([(height, subtree(height, n)) for height, n in tree.peaks(before)])

    longer = frontier.extended([(0, leaf) for leaf in MANY[before : before + more]])

    assert longer.root() == tree.root(before + more, subtree)
    assert frontier.size == before


@pytest.mark.parametrize(("index", "size"), [(-1, 3), (3, 3), (0, 0)])
def test_there_is_no_proof_of_a_leaf_that_is_not_there(index, size):
    with pytest.raises(ValueError, match="has no leaf"):
        tree.inclusion(index, size, tree.over(MANY))


def test_there_is_no_proof_that_a_larger_tree_is_the_beginning_of_a_smaller():
    with pytest.raises(ValueError, match="not the beginning"):
        tree.consistency(5, 4, tree.over(MANY))
