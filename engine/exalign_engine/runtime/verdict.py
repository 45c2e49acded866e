"""What a runtime was found to be like is remembered: for a bundle, a processor, and the versions of all that computes.

The comparison (`exalign_engine.runtime.equivalence`) takes three seconds. Its outcome is kept beside the bundle's
tables, and only where the runtime answers like the reference.
"""

from __future__ import annotations

from dataclasses import asdict

from exalign_engine.bundle.bundle import Bundle
from exalign_engine.network.outputs import Runtime
from exalign_engine.runtime.divergence import BOUNDS, Divergence
from exalign_engine.runtime.surroundings import digest, surroundings

#: Code of ours that decides what is compared, and how.
_COMPARES = ("network", "onnx_graph", "posterior", "runtime")


def found_before(chosen: Runtime, bundle: Bundle) -> Divergence | None:
    """How far a runtime was from the reference, where that has been found for all that it depends on."""
    key = _key(chosen)
    note = bundle.exemplars.tables.note(_name(key))
    if note is None or note.get("key") != key:
        return None
    try:
        found = Divergence(**{name: float(value) for name, value in note["divergence"].items()})
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    return None if found.beyond(BOUNDS[chosen.precision]) else found


def remember(chosen: Runtime, bundle: Bundle, divergence: Divergence) -> None:
    """Keep how far a runtime is from the reference: no farther than it may be."""
    key = _key(chosen)
    bundle.exemplars.tables.keep_note(_name(key), {"key": key, "divergence": asdict(divergence)})


def _key(chosen: Runtime) -> dict[str, str]:
    """All that the comparison depends on beside the bundle."""
    return surroundings(*_COMPARES) | {"runtime": chosen.name, "precision": chosen.precision}


def _name(key: dict[str, str]) -> str:
    return f"verdict-{key['runtime']}-{digest(key)}"
