"""What the processor can do that libraries do not say."""

from __future__ import annotations

from pathlib import Path

#: Instructions that sum products of int8 in 32 bits, as Linux names them.
_EXACT = frozenset({"avx512_vnni", "avx_vnni", "amx_int8"})


def int8_is_exact(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether int8 products are summed without loss.

    On x86 without VNNI, pairs of products are summed in 16 bits, which saturate (oneDNN's documentation, "Nuances of
    int8 Computations"). docs/decisions/int8.md

    Args:
        cpuinfo: Linux's list of processors.

    Returns:
        False for x86 processors without VNNI. True for others and where there is no such list: the comparison with the
        reference runtime judges them.
    """
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        return True
    flags = next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), None)
    return flags is None or not _EXACT.isdisjoint(flags)
