"""Expected hypervolume improvement where costs are known, in closed form."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

Array = NDArray[np.float64]


def expected_improvement(mean: Array, std: Array, level: Array) -> Array:
    """E[max(0, N(mean, std^2) - level)], broadcast; with std 0 the plain positive part."""
    gap = mean - level
    z = np.divide(gap, std, out=np.zeros(np.broadcast_shapes(gap.shape, std.shape)), where=std > 0)
    density = np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi)
    return np.where(std > 0, gap * ndtr(z) + std * density, np.maximum(gap, 0.0))


def expected_hypervolume_improvement(
    mean: Array, std: Array, costs: Array, *, known: Array, known_costs: Array, floor: float, limits: Array
) -> Array:
    """How much hypervolume each of n candidates is expected to add to what is known; (n,).

    Quality (maximised) is normal with ``mean`` and ``std``, both (n,); ``costs`` (n, k) are certain and
    minimised. ``known`` (m,) at ``known_costs`` (m, k) are the qualities reached so far, ``floor`` and
    ``limits`` (k,) the corner up to which hypervolume counts.

    The known costs cut the space of costs into strips (boxes for k > 1) in each of which the best known
    quality is one number. A candidate adds to every strip that is at least as costly as itself, and there it
    adds its expected improvement over that number times the strip's size.
    """
    useful = (known > floor) & np.all(known_costs < limits, axis=1)
    known, known_costs = known[useful], known_costs[useful]
    edges = [np.unique(known_costs[:, axis]) for axis in range(len(limits))]
    best = np.full([len(edge) + 1 for edge in edges], floor)
    for quality, cost in zip(known, known_costs, strict=True):
        # Strip number i of an axis begins at its edge i - 1; strip 0 is cheaper than everything known.
        corner = [np.searchsorted(edge, c) + 1 for edge, c in zip(edges, cost, strict=True)]
        beyond = best[tuple(slice(start, None) for start in corner)]
        np.maximum(beyond, quality, out=beyond)
    levels, level_of = np.unique(best, return_inverse=True)
    sizes = np.eye(len(levels))[level_of.reshape(best.shape)]  # (strips of each axis ..., levels)
    widths = [_widths(edge, costs[:, axis], limits[axis]) for axis, edge in enumerate(edges)]
    room = np.tensordot(widths[0], sizes, axes=1)
    for width in widths[1:]:
        room = np.einsum("ns,ns...->n...", width, room)
    return np.sum(room * expected_improvement(mean[:, None], std[:, None], levels[None]), axis=1)


def _widths(edges: Array, costs: Array, limit: float) -> Array:
    """How wide each strip between edges is for a candidate that costs ``costs``; (n, strips)."""
    starts = np.concatenate(([-np.inf], edges))
    ends = np.concatenate((edges, [limit]))
    return np.maximum(0.0, ends - np.maximum(starts, costs[:, None]))
