from __future__ import annotations

import fuzz_paths  # noqa: F401  # the tests of this folder import from the others
