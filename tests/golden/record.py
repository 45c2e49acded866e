"""Records the golden file: ``make golden REASON="why the answers changed"``.

With ``--only TEXT`` just the entries whose name holds the text are recorded again; the others stay as they were, and
a change in them is still found by the test.
"""

from __future__ import annotations

import argparse
import sys

from golden_entries import GROUPS, computed
from golden_file import Golden


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reason", required=True, help="why; stored in the file")
    parser.add_argument("--only", default="", metavar="TEXT", help="record only the entries whose name holds this")
    args = parser.parse_args()
    if not args.reason.strip():
        parser.error("--reason is empty: say why the answers changed")
    old = Golden.read()
    if args.only and old.other_machine():
        parser.error(f"--only needs the machine of the other entries; {old.other_machine()}")
    made = {name: table for group in GROUPS for name, table in computed(group).items()}
    entries = dict(old.entries) if args.only else {}
    entries |= {name: table for name, table in made.items() if args.only in name}
    new = old.recorded(entries, args.reason.strip())
    new.write()
    changed = new.history[-1]["changed"]
    print(f"{len(new.entries)} entries, {len(changed)} changed: {', '.join(changed) or 'none'}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
