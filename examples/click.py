"""One click corrects the whole face: ask what to click, click there, and see how the other landmarks move.

    python examples/click.py photo.jpg X Y [--server localhost:50051]

X and Y are where the suggested landmark really is; without them, the suggestion is printed and nothing else.
"""

from __future__ import annotations

import argparse

import numpy as np

from exalign_client import Click, Client
from exalign_client.landmarks import NAMES


def main() -> None:
    """Print the suggestion, and what the click changed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture")
    parser.add_argument("position", nargs="*", type=float, metavar="X Y")
    parser.add_argument("--server", default="localhost:50051")
    args = parser.parse_args()
    with Client(args.server) as client:
        before = client.predict(args.picture, max_faces=1)[0]
        # The posterior id stands for the picture: it is not sent, and the network does not run, a second time.
        best = client.suggest(posterior_id=before.posterior_id).suggestions[0]
        x, y = before.landmarks[best.landmark]
        name = NAMES[best.landmark]
        print(f"a click on {name} helps most; it is believed to be at ({x:.1f}, {y:.1f})")
        if not args.position:
            return
        click = Click(best.landmark, *args.position)
        after = client.condition(evidence=click, posterior_id=before.posterior_id)
        moved = np.linalg.norm(after.face.landmarks - before.landmarks, axis=1)
        others = np.delete(moved, best.landmark)
        print(f"{name} moved by {moved[best.landmark]:.1f} px, the other 67 by up to {others.max():.1f} px")
        print(f"evidence: {after.outcome.value}, surprise {after.surprise:.1f} nats")


if __name__ == "__main__":
    main()
