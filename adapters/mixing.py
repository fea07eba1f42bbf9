r"""Where features stand in each factor of a rotation, so that the factors mix: integers only, no tensors.

A rotation of F factors is R = T_F ⋯ T_1, T_f = P^-(f-1) D_f P^(f-1), D_f block-diagonal as one factor alone. With d
features in N blocks of b, P is a perfect shuffle of the blocks, then a shift of everything by half a block:

    P(i) = ((i mod b) N + i // b + ⌈b/2⌉) mod d   for i < N b,       P(i) = (i + ⌈b/2⌉) mod d   beyond.

The shuffle alone mixes nothing where N = 1 and leaves the ends of all blocks at the end; the shift alone needs about
N factors to cross N blocks (measured in docs/how-to/capacity.md).
"""

import functools
from collections.abc import Callable, Sequence

__all__ = ["check_mixing", "count_apart", "count_until_mixed", "factors_to_mix", "positions", "rotated_sets"]

Sets = Sequence[Sequence[int]]


@functools.lru_cache(maxsize=1024)
def positions(features: int, n_blocks: int, block_size: int, times: int) -> tuple[int, ...]:
    """Where P^times puts each feature.

    Args:
        features: d.
        n_blocks: N.
        block_size: b, with N b <= d.
        times: the power of P; negative for its inverse.

    Returns:
        for each feature its position, a permutation of range(d).

    >>> positions(4, 2, 2, 1)
    (1, 3, 2, 0)
    """
    shift = (block_size + 1) // 2
    covered = n_blocks * block_size
    shuffled = [i % block_size * n_blocks + i // block_size if i < covered else i for i in range(features)]
    step = [(position + shift) % features for position in shuffled]
    if times < 0:
        step = sorted(range(features), key=step.__getitem__)
    result = list(range(features))
    for _ in range(abs(times)):
        result = [step[position] for position in result]
    return tuple(result)


def check_mixing(features: int, n_blocks: int, block_size: int, sectors: Sequence[tuple[int, int, int]]) -> None:
    """Refuse a second factor that reaches nothing that the first one does not.

    Args:
        features, n_blocks, block_size, sectors: as in :class:`~adapters.plan.BlockPlan`.

    Raises:
        ValueError: no set of features that the first factor rotates is joined with another by the second.
    """
    sets = rotated_sets(features, n_blocks, block_size, sectors)
    if count_apart([sets, _moved(sets, positions(features, n_blocks, block_size, -1))]) == len(sets):
        raise ValueError(
            f"n_factors must be 1 where more factors mix nothing more, got {n_blocks} block{'s' * (n_blocks > 1)} of "
            f"{block_size} for {features} features and orders {tuple(order for order, _, _ in sectors)}"
        )


def count_apart(factors: Sequence[Sets]) -> int:
    """How many sets of features are kept apart by factors, however often they are repeated.

    Args:
        factors: for each factor the sets of features that it rotates among themselves; each covers all features.

    >>> count_apart([[(0, 1), (2, 3)], [(0, 1), (2, 3)]]), count_apart([[(0, 1), (2, 3)], [(0,), (1, 2), (3,)]])
    (2, 1)
    """
    parent = list(range(sum(map(len, factors[0]))))

    def root(feature: int) -> int:
        while parent[feature] != feature:
            parent[feature] = feature = parent[parent[feature]]
        return feature

    for sets in factors:
        for first, *others in sets:
            for other in others:
                parent[root(other)] = root(first)
    return sum(parent[feature] == feature for feature in range(len(parent)))


def factors_to_mix(
    features: int, n_blocks: int, block_size: int, sectors: Sequence[tuple[int, int, int]], most: int = 16
) -> int | None:
    """The number of factors after which every feature reaches every other.

    Args:
        features, n_blocks, block_size, sectors: as in :class:`~adapters.plan.BlockPlan`.
        most: how many factors to try.

    Returns:
        the least F for which no entry of R must be zero, or None if it is more than `most`.

    >>> factors_to_mix(768, 1, 768, ((1, 0, 38), (2, 38, 741)))
    3
    """
    sets = rotated_sets(features, n_blocks, block_size, sectors)
    return count_until_mixed(sets, lambda factor: positions(features, n_blocks, block_size, -factor), most)


def count_until_mixed(sets: Sets, feature_at: Callable[[int], Sequence[int]], most: int) -> int | None:
    """The same for any positions of the features.

    Args:
        sets: the positions that every factor rotates among themselves, of all positions.
        feature_at: for the factor of an index, counted from 0, the feature at each position.
        most: how many factors to try.
    """
    everything = (1 << sum(map(len, sets))) - 1
    reached = [1 << feature for feature in feature_at(0)]
    for factor in range(most):
        masks = [sum(1 << feature for feature in members) for members in _moved(sets, feature_at(factor))]
        # Features with one future go on as one.
        reached = list({_spread(features_reached, masks) for features_reached in reached})
        if reached == [everything]:
            return factor + 1
    return None


def _spread(reached: int, masks: Sequence[int]) -> int:
    """The features that those reached are rotated with; sets are the bits of integers."""
    return functools.reduce(lambda found, mask: found | mask if reached & mask else found, masks, 0)


def rotated_sets(
    features: int, n_blocks: int, block_size: int, sectors: Sequence[tuple[int, int, int]]
) -> list[Sequence[int]]:
    """The positions that one factor rotates among themselves: its sectors, and what it leaves alone one by one.

    Args:
        features, n_blocks, block_size, sectors: as in :class:`~adapters.plan.BlockPlan`.
    """
    sets: list[Sequence[int]] = []
    for start in range(0, n_blocks * block_size, block_size):
        sets += [range(start + first, start + stop) for _, first, stop in sectors]
        sets += [(position,) for position in range(start + sectors[-1][2], start + block_size)]
    return sets + [(position,) for position in range(n_blocks * block_size, features)]


def _moved(sets: Sets, to: Sequence[int]) -> list[Sequence[int]]:
    return [[to[position] for position in members] for members in sets]
