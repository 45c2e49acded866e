"""What the fuzzers share with other tests lies beside them: this makes it importable, also for a script."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

for _folder in (HERE.parent, HERE.parent / "service"):
    if str(_folder) not in sys.path:
        sys.path.append(str(_folder))
