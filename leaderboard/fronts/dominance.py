"""Which of many points another one beats in all of three or four coordinates, by halving; numpy alone.

Distinct points are put in the order of their first coordinate (then of the second, ...), so that whatever
beats a point comes before it. The other coordinates become places in a sorted order, which is stable, so that
of equal ones the earlier point has the lower place: "at most as much in all" is then "before in every order".
Blocks of points are halved level by level: what beats a point of the right half is in the left half, or in
the same half, which is a block of the next level. Each level is a few operations on whole arrays.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

LEAF = 32
"""Blocks of at most so many points are compared pair by pair."""

Whole = NDArray[np.signedinteger[Any]]
Flags = NDArray[np.bool_]


def beaten(points: NDArray[np.float64]) -> Flags:
    """True where another point is at most as much in every coordinate, and less in one.

    `points` is (n, 3) or (n, 4) without NaN. Takes time in n (log n)^(axes - 2) for whatever points, on
    one core 0.2 s at most for 100,000 points of four coordinates, all of which may be on the front.
    """
    survivors = np.flatnonzero(~_plainly_beaten(points))
    order = survivors[_in_order(points[survivors])]
    ordered = points[order]
    new = np.ones(len(order), dtype=bool)
    new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    found = np.ones(len(points), dtype=bool)
    found[order] = _beaten_in_order(ordered[new])[np.cumsum(new) - 1]
    return found


def _in_order(points: NDArray[np.float64]) -> Whole:
    """What sorts the points by their first coordinate, then by the second, and so on."""
    order = np.argsort(points[:, 0])
    first = points[order, 0]
    return np.lexsort(points.T[::-1]) if (first[1:] == first[:-1]).any() else order


def _stable_order(column: NDArray[np.float64]) -> Whole:
    """As the stable sort, which takes twice as long and is not needed where nothing is equal."""
    order = np.argsort(column)
    values = column[order]
    return np.argsort(column, kind="stable") if (values[1:] == values[:-1]).any() else order


def _plainly_beaten(points: NDArray[np.float64], strong: int = 24) -> Flags:
    """What the points with the least sum of places beat: most of all, where few are on the front."""
    found = np.zeros(len(points), dtype=bool)
    if len(points) <= 4 * strong:
        return found
    columns = np.ascontiguousarray(points.T)
    with np.errstate(invalid="ignore"):
        spread = np.array([np.ptp(column) for column in columns])
    usable = np.isfinite(spread) & (spread > 0)
    if not usable.any():
        return found
    sums = ((columns[usable] - columns[usable].min(axis=1)[:, None]) / spread[usable][:, None]).sum(axis=0)
    for index in np.argpartition(sums, strong)[:strong]:
        if found[index]:
            continue
        no_worse, better = np.ones(len(points), dtype=bool), np.zeros(len(points), dtype=bool)
        for column in columns:
            no_worse &= column >= column[index]
            better |= column > column[index]
        found |= no_worse & better
    return found


def _beaten_in_order(points: NDArray[np.float64]) -> Flags:
    """`beaten` for distinct points in lexicographic order."""
    count, axes = points.shape
    levels = 0
    while count > LEAF << levels:
        levels += 1
    leaf = max(1, -(-count // (1 << levels)))
    padded = leaf << levels
    # What fills the last block up comes last in every order, and so beats nothing.
    rest = np.arange(count, padded)
    orders = [
        np.concatenate((_stable_order(points[:, axis]), rest)).astype(np.int32) for axis in range(1, axes)
    ]
    places = [_inverse(order) for order in orders]
    found = _beaten_in_leaves(places, leaf)
    if axes == 3:
        _halve(orders[0], places[1], None, leaf, levels, found)
    else:
        _halve_twice(orders, places, leaf, levels, found)
    return found[:count]


def _inverse(order: Whole) -> Whole:
    place = np.empty_like(order)
    place[order] = np.arange(len(order), dtype=order.dtype)
    return place


def _beaten_in_leaves(places: list[Whole], leaf: int) -> Flags:
    """Which points one of the same block of `leaf` beats."""
    columns = [np.ascontiguousarray(place.reshape(-1, leaf).T) for place in places]
    found = np.zeros(columns[0].shape, dtype=bool)
    for shift in range(1, leaf):
        beats = columns[0][:-shift] < columns[0][shift:]
        for column in columns[1:]:
            beats &= column[:-shift] < column[shift:]
        found[shift:] |= beats
    return np.ascontiguousarray(found.T).reshape(-1)


def _halve(order: Whole, place: Whole, left: Flags | None, leaf: int, levels: int, found: Flags) -> None:
    """Marks in `found` what is beaten across two halves of a block, for the blocks of `levels` levels.

    Points are numbers; blocks are runs of them. `order` has them by one coordinate, within each block of the
    highest level, and `place` says where they are by another. With `left`, only points that are there beat,
    and only those that are not are beaten.
    """
    total = len(order)
    key = place[order]
    beats = None if left is None else left[order]
    small = total * (total // leaf) < 2**31
    index = np.arange(total, dtype=np.int32 if small else np.int64)
    most = np.array(total, dtype=index.dtype)
    for level in range(levels, 0, -1):
        half = (order // leaf >> (level - 1)) & 1 == 1
        below = index // (leaf << level) * total  # so that a running minimum begins anew with each block
        cannot = half if beats is None else half | ~beats
        # The key where a point can beat, else more than any key: faster than np.where.
        least = np.minimum.accumulate(np.maximum(key, cannot * most) - below) + below
        lost = half & (least < key)
        if beats is not None:
            lost &= ~beats
        found[order[lost]] = True
        if level > 1:
            split = _split(half, leaf << (level - 1))
            order, key = order.take(split), key.take(split)
            beats = None if beats is None else beats.take(split)


def _split(half: Flags, size: int) -> Whole:
    """Where to take from so that each block has its left half first, both in the order they had."""
    left, right = np.flatnonzero(~half), np.flatnonzero(half)
    return np.concatenate((left.reshape(-1, size), right.reshape(-1, size)), axis=1).reshape(-1)


def _halve_twice(orders: list[Whole], places: list[Whole], leaf: int, levels: int, found: Flags) -> None:
    """Marks in `found` what is beaten across two halves, where three more coordinates have to agree."""
    second, third = orders[0], orders[1]
    for level in range(levels, 0, -1):
        # Numbered anew by the second coordinate within each block, the points are halved again.
        number = _inverse(second)
        half = (second // leaf >> (level - 1)) & 1 == 1
        marks = _beaten_in_leaves_across([place[second] for place in places[1:]], half, leaf)
        _halve(number[third], places[2][second], ~half, leaf, level, marks)
        found[second[marks]] = True
        if level > 1:
            size = leaf << (level - 1)
            second = second[_split(half, size)]
            third = third[_split((third // leaf >> (level - 1)) & 1 == 1, size)]


def _beaten_in_leaves_across(places: list[Whole], half: Flags, leaf: int) -> Flags:
    """As `_beaten_in_leaves`, but only what is not in `half` beats, and only what is in it is beaten."""
    columns = [np.ascontiguousarray(place.reshape(-1, leaf).T) for place in places]
    right = np.ascontiguousarray(half.reshape(-1, leaf).T)
    found = np.zeros(right.shape, dtype=bool)
    for shift in range(1, leaf):
        beats = ~right[:-shift] & right[shift:]
        for column in columns:
            beats &= column[:-shift] < column[shift:]
        found[shift:] |= beats
    return np.ascontiguousarray(found.T).reshape(-1)
