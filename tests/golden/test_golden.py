"""Everything answers as it did when the golden file was recorded: bit for bit on the same kind of machine.

Elsewhere a network's numbers differ in their last bits. There only what toy sessions answer is compared, which no
network takes part in, and within `NEAR`.
"""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("torch", reason="training needs torch (extra 'train')")
pytest.importorskip("onnxscript", reason="training needs onnxscript (extra 'train')")
pytest.importorskip("skimage.data", reason="needs scikit-image (extra 'demo')")

from golden_entries import GROUPS, computed
from golden_file import Golden
from golden_tree import Tolerance, difference

#: Training and a server take their time on a busy machine.
pytestmark = pytest.mark.timeout(900)

GOLDEN = Golden.read()
ELSEWHERE = GOLDEN.other_machine()

#: Another CPU adds in another order, in float32. Code compiled for a CPU without AVX was off by 1e-5 and one millionth.
NEAR = Tolerance(relative=2e-5, absolute=1e-5)


def below_the_network(name: str) -> bool:
    """Whether an entry is compared on every machine."""
    return name.startswith("state/") and name.endswith("answers")


def params() -> list[Any]:
    """What is compared here; elsewhere one skipped test says why the rest is not."""
    names = sorted(GOLDEN.entries)
    if ELSEWHERE is None:
        return names
    rest = pytest.param("the rest", marks=pytest.mark.skip(reason=ELSEWHERE))
    return [*filter(below_the_network, names), rest]


@pytest.mark.parametrize("name", params())
def test_the_answer_is_as_recorded(name: str) -> None:
    now = computed(name.partition("/")[0]).get(name)
    assert now is not None, f"{name}: nothing computes this entry any more"
    found = difference(now, GOLDEN.entries[name], NEAR if ELSEWHERE else None)
    if found:
        pytest.fail(f"{name}: {found}", pytrace=False)


@pytest.mark.parametrize("group", ["state"] if ELSEWHERE else GROUPS)
def test_every_entry_was_recorded(group: str) -> None:
    new = sorted(set(computed(group)) - set(GOLDEN.entries))
    assert not new, f"not in the golden file: {', '.join(new)}; make golden REASON=…"
