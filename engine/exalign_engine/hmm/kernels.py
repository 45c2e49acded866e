"""Compiled kernels of the HMM: which of many sources are near each target (Eq. N1, N2 of `hmm.neighbours`).

They run without the GIL, on one thread, and add in an order that only the sources and the CPU type decide: the compiler
spreads a block's lanes over its vectors. In float32 they only decide pairs for which (N2) leaves a margin. All others
are decided by (N1), and weights are summed in float64.

Sources come in blocks of `LANES` that lie close together, coordinate by coordinate. A target is compared with a block's
box first, which often shows that all are near or all are apart, and then with all of its sources at a time.

What the kernels share:

    prefix   (K, P) float32, P a multiple of `STRIDE`, and rest (K,) float32: y and ρ of (N2); coordinates are compared
             `STRIDE` at a time, and a block that is apart after the first of these is left there
    rows     (K, 2, N) float32, the shapes; limit = N τ²
    low      squared distance above which (N2) is sure that a pair is apart; high: up to which it is near
    sources  (S,) int32, the classes in the blocks, in their order
    blocks   (B, P, LANES) float32, rests (B, LANES) float32: the sources' y and ρ; what pads the last block is far away
    boxes    (B, 2P + 1) float32: the middle and half the width of a block's sources in each coordinate, their largest ρ
    targets  (T,) int32
"""

from __future__ import annotations

import numpy as np

from exalign_engine.arrays import F32, F64, I32, U8, U64
from exalign_engine.exemplars.spatial_order import STRIDE
from exalign_engine.libraries.njit import njit

#: Sources in a block.
LANES = 64

#: Relative error, generously, of a distance summed in float32.
ROUNDING = 1e-5

# The comparisons are inlined where they are called: to pass their arrays would cost as much as to compare.

#: A bit for each lane.
ALL = np.uint64(2**LANES - 1)

#: What a block's comparison with a target says.
APART, NEAR, MIXED, OPEN = 0, 1, 2, 3


@njit(cache=True, nogil=True, fastmath=True)  # type: ignore[untyped-decorator]
def _rough_square(rows: F32, i: int, j: int) -> float:
    """‖row i − row j‖² in float32, off by less than 2⁻²² a coordinate, relatively: the coordinates are exact."""
    total = np.float32(0)
    for c in range(rows.shape[1]):
        for n in range(rows.shape[2]):
            d = rows[i, c, n] - rows[j, c, n]
            total += d * d
    return float(total)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _is_near(rows: F32, i: int, j: int, limit: float) -> bool:
    """Eq. N1: in float64, landmark by landmark, where float32 cannot tell."""
    width = rows.shape[1] * rows.shape[2]
    rough = float(_rough_square(rows, i, j))
    if abs(rough - limit) > limit * width * 2.0**-21:
        return rough < limit
    total = 0.0
    for n in range(rows.shape[2]):
        for c in range(rows.shape[1]):
            d = float(rows[i, c, n]) - float(rows[j, c, n])
            total += d * d
    return total <= limit


@njit(cache=True, nogil=True, fastmath=True, inline="always")  # type: ignore[untyped-decorator]
def _compare_box(boxes: F32, b: int, prefix: F32, rest: F32, j: int, low: float, high: float) -> int:
    """`APART` or `NEAR` where the box of block ``b`` shows it, else `OPEN`.

    Its nearest and its farthest point in the prefix, and (N2) for what is left; `ROUNDING` covers float32's sums.
    """
    width = prefix.shape[1]
    gap, reach = np.float32(0), np.float32(0)
    for c in range(width):
        off, half = abs(prefix[j, c] - boxes[b, c]), boxes[b, width + c]
        outside, across = off - half, off + half
        # Twice max(outside, 0): a maximum would not be spread over lanes.
        outside += abs(outside)
        gap += outside * outside
        reach += across * across
    if float(gap) * (1 - ROUNDING) > 4 * low:
        return APART
    left = float(boxes[b, 2 * width]) + float(rest[j])
    return NEAR if float(reach) * (1 + ROUNDING) + left * left <= high else OPEN


@njit(cache=True, nogil=True, fastmath=True, inline="always")  # type: ignore[untyped-decorator]
def _compare(
    blocks: F32, rests: F32, b: int, prefix: F32, rest: F32, j: int, low: float, high: float, state: U8, d2: F32
) -> int:
    """Compare the sources of block ``b`` with target ``j`` by (N2).

    Args:
        blocks: and the other arrays: see above.
        rests: ρ of the sources.
        b: block.
        prefix: y.
        rest: ρ.
        j: target.
        low: apart above.
        high: near up to.
        state: (LANES,) written: 0 apart, 1 near, 2 undecided; not written where the answer is `APART`.
        d2: (LANES,) scratch.

    Returns:
        `APART` or `NEAR`: all are. `MIXED`: some are near, none is undecided. `OPEN`: some are undecided.
    """
    low32, high32 = np.float32(low), np.float32(high)
    for c in range(0, prefix.shape[1], STRIDE):
        x0, x1, x2, x3 = prefix[j, c], prefix[j, c + 1], prefix[j, c + 2], prefix[j, c + 3]
        if c == 0:
            least = np.float32(np.inf)
            for lane in range(LANES):
                e0, e1 = blocks[b, c, lane] - x0, blocks[b, c + 1, lane] - x1
                e2, e3 = blocks[b, c + 2, lane] - x2, blocks[b, c + 3, lane] - x3
                d2[lane] = (e0 * e0 + e1 * e1) + (e2 * e2 + e3 * e3)
            for lane in range(LANES):
                least = min(least, d2[lane])
            if least > low32:
                return APART
        else:
            for lane in range(LANES):
                e0, e1 = blocks[b, c, lane] - x0, blocks[b, c + 1, lane] - x1
                e2, e3 = blocks[b, c + 2, lane] - x2, blocks[b, c + 3, lane] - x3
                d2[lane] += (e0 * e0 + e1 * e1) + (e2 * e2 + e3 * e3)
    r = rest[j]
    near, possible = np.int32(0), np.int32(0)
    for lane in range(LANES):
        apart, together = rests[b, lane] - r, rests[b, lane] + r
        sure = np.int32(d2[lane] + together * together <= high32)
        may = np.int32(d2[lane] + apart * apart <= low32)
        state[lane] = np.uint8(2 * may - sure)
        near += sure
        possible += may
    if possible == 0:
        return APART
    if near == LANES:
        return NEAR
    return MIXED if near == possible else OPEN


@njit(cache=True, nogil=True, fastmath=True)  # type: ignore[untyped-decorator]
def _near_sum(state: U8, weights: F64, start: int) -> float:
    """Σ of a block's weights over its lanes in state 1."""
    total = 0.0
    for lane in range(LANES):
        total += weights[start + lane] * state[lane]
    return total


@njit(cache=True, nogil=True, fastmath=True)  # type: ignore[untyped-decorator]
def near_lanes(
    sources: I32,
    blocks: F32,
    rests: F32,
    boxes: F32,
    targets: I32,
    prefix: F32,
    rest: F32,
    rows: F32,
    limit: float,
    low: float,
    high: float,
) -> U64:
    """(T, B) uint64: which lanes of each block hold a source near each target, a bit a lane; `ALL` where all do.

    Args:
        sources: and the other arrays: see above.
        blocks: y of the sources.
        rests: ρ of the sources.
        boxes: of the blocks.
        targets: j.
        prefix: y.
        rest: ρ.
        rows: shapes.
        limit: N τ².
        low: apart above.
        high: near up to.
    """
    out = np.zeros((targets.shape[0], blocks.shape[0]), np.uint64)
    state, d2 = np.ones(LANES, np.uint8), np.empty(LANES, np.float32)
    for t in range(targets.shape[0]):
        j = targets[t]
        for b in range(blocks.shape[0]):
            verdict = _compare_box(boxes, b, prefix, rest, j, low, high)
            if verdict == OPEN:
                verdict = _compare(blocks, rests, b, prefix, rest, j, low, high, state, d2)
            if verdict == NEAR:
                out[t, b] = ALL
            elif verdict != APART:
                bits = np.uint64(0)
                for lane in range(LANES):
                    said = state[lane] == 1
                    if state[lane] == 2:
                        said = _is_near(rows, sources[b * LANES + lane], j, limit)
                    bits |= np.uint64(said) << np.uint64(lane)
                out[t, b] = bits
    return out


@njit(cache=True, nogil=True, fastmath=True)  # type: ignore[untyped-decorator]
def mass_of_lanes(near: U64, weights: F64) -> F64:
    """(T,) float64: Σ_{i ∈ N(j)} w_i over the sources, block by block, for every target j.

    Args:
        near: (T, B), see `near_lanes`.
        weights: (B · LANES,) float64, 0 in the padding.
    """
    out = np.zeros(near.shape[0])
    state, whole = np.ones(LANES, np.uint8), np.empty(near.shape[1])
    for b in range(near.shape[1]):
        whole[b] = _near_sum(state, weights, b * LANES)
    for t in range(near.shape[0]):
        total = 0.0
        for b in range(near.shape[1]):
            bits = near[t, b]
            if bits == ALL:
                total += whole[b]
            elif bits:
                for lane in range(LANES):
                    state[lane] = np.uint8((bits >> np.uint64(lane)) & np.uint64(1))
                total += _near_sum(state, weights, b * LANES)
        out[t] = total
    return out


@njit(cache=True, nogil=True, fastmath=True)  # type: ignore[untyped-decorator]
def first_near(
    sources: I32,
    blocks: F32,
    rests: F32,
    boxes: F32,
    places: I32,
    visit: I32,
    targets: I32,
    prefix: F32,
    rest: F32,
    rows: F32,
    limit: float,
    low: float,
    high: float,
) -> I32:
    """(T,) the least place of a source that is near each target, -1 where none is.

    Args:
        sources: and the other arrays: see above.
        blocks: y of the sources.
        rests: ρ of the sources.
        boxes: of the blocks.
        places: (B · LANES,) int32 ≥ 0, all different; the largest in the padding.
        visit: (B,) the blocks by their least place, ascending.
        targets: j.
        prefix: y.
        rest: ρ.
        rows: shapes.
        limit: N τ².
        low: apart above.
        high: near up to.
    """
    none = np.int32(places.shape[0])
    out = np.full(targets.shape[0], -1, np.int32)
    state, d2 = np.zeros(LANES, np.uint8), np.empty(LANES, np.float32)
    least = np.empty(blocks.shape[0], np.int32)
    for b in range(blocks.shape[0]):
        least[b] = places[b * LANES : (b + 1) * LANES].min()
    for t in range(targets.shape[0]):
        j, best = targets[t], none
        for b in visit:
            if least[b] >= best:
                break
            verdict = _compare_box(boxes, b, prefix, rest, j, low, high)
            if verdict == OPEN:
                verdict = _compare(blocks, rests, b, prefix, rest, j, low, high, state, d2)
            if verdict == NEAR:
                best = least[b]
            elif verdict != APART:
                for lane in range(LANES):
                    s = b * LANES + lane
                    if places[s] >= best or state[lane] == 0:
                        continue
                    if state[lane] == 1 or _is_near(rows, sources[s], j, limit):
                        best = places[s]
        if best < none:
            out[t] = best
    return out


# Long: one compiled kernel, whose loops share what a block's comparison says.
@njit(cache=True, nogil=True, fastmath=True)  # type: ignore[untyped-decorator]
def near_some(
    sources: I32,
    blocks: F32,
    rests: F32,
    boxes: F32,
    targets: I32,
    prefix: F32,
    rest: F32,
    rows: F32,
    limit: float,
    low: float,
    high: float,
    some: I32,
    held: I32,
) -> I32:
    """How many sources are near each target, itself left out; and some of them, added to those that are held.

    Args:
        sources: and the other arrays: see above.
        blocks: y of the sources.
        rests: ρ of the sources.
        boxes: of the blocks.
        targets: j.
        prefix: y.
        rest: ρ.
        rows: shapes.
        limit: N τ².
        low: apart above.
        high: near up to.
        some: (K, R) int32, classes near each class, written for the targets: all that are held or found now where they
            are at most R, else every n-th of them, the held ones first, then in the order of the sources.
        held: (K,) int32, how many of ``some`` count; written.

    Returns:
        (T,) int32.
    """
    most = some.shape[1]
    out = np.zeros(targets.shape[0], np.int32)
    state, d2 = np.ones(LANES, np.uint8), np.empty(LANES, np.float32)
    near = np.empty(most + sources.shape[0], np.int32)
    for t in range(targets.shape[0]):
        j = targets[t]
        count = held[j]
        near[:count] = some[j, :count]
        for b in range(blocks.shape[0]):
            verdict = _compare_box(boxes, b, prefix, rest, j, low, high)
            if verdict == OPEN:
                verdict = _compare(blocks, rests, b, prefix, rest, j, low, high, state, d2)
            if verdict == APART:
                continue
            # A box does not know of what pads its block.
            for s in range(b * LANES, min((b + 1) * LANES, sources.shape[0])):
                said = 1 if verdict == NEAR else state[s - b * LANES]
                if said == 0 or sources[s] == j or (said == 2 and not _is_near(rows, sources[s], j, limit)):
                    continue
                near[count] = sources[s]
                count += 1
        out[t] = count - held[j]
        kept = min(count, most)
        for r in range(kept):
            some[j, r] = near[int((r + 0.5) * count / kept)]
        held[j] = kept
    return out


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def spread_mass(index: I32, weights: F64, counts: F64, some: I32, held: I32) -> F64:
    """(K,) float64: Σ_{i ∈ N(j)} w_i over the sources, where i's neighbours are stood for by those that are known.

    A source gives itself w_i, and each of the h_i others that are known to be near it w_i (n_i − 1) / h_i.

    Args:
        index: (S,) int32, sources.
        weights: (S,) float64.
        counts: (K,) float64, n_k.
        some: (K, R) int32, classes near each class.
        held: (K,) int32, how many of them are known: h_k.
    """
    out = np.zeros(held.shape[0])
    for s in range(index.shape[0]):
        i = index[s]
        out[i] += weights[s]
        if held[i] > 0:
            share = weights[s] * (counts[i] - 1.0) / held[i]
            for r in range(held[i]):
                out[some[i, r]] += share
    return out


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def reach_first(index: I32, some: I32, held: I32) -> I32:
    """(K,) int32: the least place in ``index`` of a class that is known to be near each class, -1 where none is.

    Args:
        index: (S,) int32, sources.
        some: (K, R) int32, classes near each class.
        held: (K,) int32, how many of them are known.
    """
    out = np.full(held.shape[0], -1, np.int32)
    for s in range(index.shape[0] - 1, -1, -1):
        i = index[s]
        out[i] = s
        for r in range(held[i]):
            out[some[i, r]] = s
    return out
