"""On how many examples a property is tried: a fixed few in ``make test``, many at random in ``make explore``."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings
from hypothesis.internal.conjecture import providers

#: Examples of each property in a search (``make explore``). 0: no search; each has its own few, always the same.
SEARCHED = int(os.environ.get("EXALIGN_EXPLORE", "0"))


def load_profile() -> None:
    """Make what every property starts from the default: no deadline, no examples kept between runs."""
    if not SEARCHED:
        # Hypothesis (6.170) also draws numbers that stand in the modules that happen to be imported: other ones in each
        # worker and each run, with the same seed. No module is looked into.
        vars(providers)["is_local_module_file"] = lambda path: False
    # A slow machine is no fault of the product.
    settings.register_profile(
        "exalign",
        derandomize=not SEARCHED,
        max_examples=SEARCHED or 100,
        deadline=None,
        database=None,
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow],
    )
    settings.load_profile("exalign")


def examples(count: int) -> settings:
    """Settings of a property that is tried on this many examples in ``make test``; a search tries it on more."""
    return settings(max_examples=max(SEARCHED, count))
