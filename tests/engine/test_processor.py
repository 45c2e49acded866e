"""Which processors multiply int8 without loss."""

from __future__ import annotations

from pathlib import Path

import pytest

from exalign_engine.runtime.processor import int8_is_exact


@pytest.mark.parametrize(
    ("text", "exact"),
    [
        pytest.param("flags\t\t: fpu sse2 avx2 avx512f avx512_vnni", True, id="AVX-512 with VNNI"),
        pytest.param("flags\t\t: fpu sse2 avx2 avx_vnni", True, id="AVX2 with VNNI"),
        pytest.param("flags\t\t: fpu sse2 avx2 fma", False, id="AVX2"),
        pytest.param("flags\t\t: fpu avx512f avx512bw", False, id="AVX-512 without VNNI"),
        pytest.param("Features\t: fp asimd asimddp", True, id="not x86: the comparison judges"),
    ],
)
def test_it_is_read_from_the_list_of_processors(tmp_path: Path, text: str, exact: bool) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor\t: 0\n{text}\nbogomips\t: 4890.81\n")
    assert int8_is_exact(cpuinfo) == exact


def test_where_there_is_no_list_the_comparison_judges(tmp_path: Path) -> None:
    assert int8_is_exact(tmp_path / "cpuinfo")
