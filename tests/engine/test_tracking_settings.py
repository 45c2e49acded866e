"""No constant that a session's state depends on is missing from the name of its settings."""

from __future__ import annotations

import ast
import importlib
import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import exalign_engine.evidence.conditioning
import exalign_engine.hmm
import exalign_engine.tracking
from exalign_engine.posterior.residual import DISPLACEMENT_REACH
from exalign_engine.tracking.motion import MotionSettings
from exalign_engine.tracking.session_state import settings_name
from exalign_engine.tracking.settings import TRACKER, ModelConstants, TrackerSettings
from toy_faces import MakeShapes
from tracking_toy import Toy

#: Numbers of other rooms, and the fields of `ModelConstants` that carry them.
CARRIED = {
    "hmm.chain.MASS_CUT": "mass_cut",
    "hmm.chain.STRETCHES": "wide_step",
    "hmm.chain.FLOOR": "wide_step",
    "hmm.belief.LOG_FLOOR": "log_floor",
    "hmm.belief.BELIEF_BYTES": "belief_bytes",
    "hmm.belief.LEAST_WEIGHT": "min_weight",
    "hmm.belief.LOW_PASS_FRAMES": "low_pass_frames",
    "hmm.neighbours.COUNTED": "counted",
    "hmm.neighbours.SAMPLED": "counted",
    "hmm.neighbours.ENOUGH": "counted",
    "posterior.residual.DISPLACEMENT_REACH": "displacement_reach",
    "evidence.conditioning.LEFT_OUT": "left_out",
    "evidence.conditioning.LEFT_OUT_OF_ANSWER": "left_out_of_answer",
    "evidence.conditioning.NEAREST_SLACK": "nearest_slack",
    "evidence.conditioning.REFERENCE_ERROR": "reference_error",
    "evidence.conditioning.MAX_MISFIT_SHARE": "max_misfit_share",
    "evidence.conditioning.LOOSENESS": "looseness",
}

#: Numbers, or modules of them, that no state depends on, each with its reason.
FREE = {
    "tracking.codec": "the form of the bytes; the layout and the version tell forms apart",
    "tracking.options": "limits and defaults of options, which are in the state themselves",
    "tracking.session_state": "the version, which is in the header",
    "tracking.track.NO_DISPLACEMENT": "zero",
    "hmm.belief.TINY": "keeps a logarithm finite",
    "hmm.belief._CODE_BASE": "the form of the bytes",
    **{f"hmm.belief.{name}": "the form of the bytes" for name in ("_FLAT", "_BITMAP", "_LIST", "_HALF", "_SINGLE")},
    "hmm.kernels": "how pairs are sorted out; nearness itself is exact",
    "hmm.neighbours.FAR": "padding",
    "evidence.conditioning.SIDES_PER_DEGREE": "half a box side an angle",
}


def modules() -> Iterator[ModuleType]:
    for package in (exalign_engine.tracking, exalign_engine.hmm):
        for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            yield importlib.import_module(found.name)
    yield exalign_engine.evidence.conditioning


def constants(module: ModuleType) -> Iterator[tuple[str, Any]]:
    """Names that a module itself gives to numbers, to sequences of numbers, or to dataclasses of them."""
    assert module.__file__ is not None
    for node in ast.parse(Path(module.__file__).read_text(encoding="utf-8")).body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        for name in (n.id for target in targets for n in ast.walk(target) if isinstance(n, ast.Name)):
            value = getattr(module, name, None)
            numbers = isinstance(value, int | float | np.ndarray)
            several = isinstance(value, tuple | list) and all(isinstance(v, int | float) for v in value)
            if numbers or several or (is_dataclass(value) and not isinstance(value, type)):
                yield name, value


def of_tracker(value: Any) -> bool:
    """Whether a module's settings are a part of `TRACKER`."""
    return value is TRACKER or any(value is getattr(TRACKER, f.name) for f in fields(TRACKER))


def named_constants() -> dict[str, Any]:
    prefix = "exalign_engine."
    return {f"{m.__name__.removeprefix(prefix)}.{name}": value for m in modules() for name, value in constants(m)}


def test_every_number_of_the_tracker_the_chain_and_evidence_is_in_the_settings_or_free() -> None:
    found = named_constants()
    assert {"tracking.motion.MOTION", "hmm.chain.MASS_CUT", "evidence.conditioning.LOOSENESS"} <= set(found)
    loose = [name for name, value in found.items() if not of_tracker(value) and name not in CARRIED]
    assert [name for name in loose if not {name, name.rpartition(".")[0]} & set(FREE)] == []


def test_numbers_of_other_rooms_are_carried_as_they_are() -> None:
    found = named_constants() | {"posterior.residual.DISPLACEMENT_REACH": DISPLACEMENT_REACH}
    for name, field in CARRIED.items():
        carried, value = getattr(TRACKER.model, field), found[name]
        assert value in carried if field in ("counted", "wide_step") else np.array_equal(carried, value), name


def numbers(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Where in nested settings every field is that is not settings itself."""
    for f in fields(value):
        inner = getattr(value, f.name)
        yield from numbers(inner, (*path, f.name)) if is_dataclass(inner) else [(*path, f.name)]


def changed(value: Any, path: tuple[str, ...]) -> Any:
    """Settings with one number another one."""
    name, *rest = path
    old = getattr(value, name)
    if rest:
        return replace(value, **{name: changed(old, tuple(rest))})
    new = (*old[:-1], old[-1] * 1.01 + 1) if isinstance(old, tuple) else old * 1.01 + 1
    return replace(value, **{name: new})


@pytest.fixture(scope="module")
def toy(make_shapes: MakeShapes) -> Toy:
    return Toy(make_shapes(9, 1))


def test_any_other_constant_gives_another_name(toy: Toy) -> None:
    places = list(numbers(TRACKER))
    assert len(places) > 50
    names = {settings_name(toy.aligner, toy.chain, changed(TRACKER, place)) for place in places}
    assert len(names | {settings_name(toy.aligner, toy.chain)}) == len(places) + 1


def test_a_new_constant_gives_another_name(toy: Toy) -> None:
    @dataclass(frozen=True)
    class WithOneMore(MotionSettings):
        one_more: float = 0.5

    more = replace(TRACKER, motion=WithOneMore(**vars(TRACKER.motion)))
    assert settings_name(toy.aligner, toy.chain, more) != settings_name(toy.aligner, toy.chain)


def test_settings_are_values() -> None:
    assert TrackerSettings() == TRACKER
    assert TRACKER.model == ModelConstants()
