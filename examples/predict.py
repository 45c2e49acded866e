"""Landmarks of every face in a picture, and how sure each of them is.

python examples/predict.py photo.jpg [--server localhost:50051]
"""

from __future__ import annotations

import argparse

import numpy as np

from exalign_client import Client


def main() -> None:
    """Print a line a face, and its five least certain landmarks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture")
    parser.add_argument("--server", default="localhost:50051")
    args = parser.parse_args()
    with Client(args.server) as client:
        faces = client.predict(args.picture)
        if not faces:
            print("no face was found; where you know its box, give it: client.predict(picture, [(x0, y0, x1, y1)])")
        for number, face in enumerate(faces):
            print(f"face {number}: presence {face.presence:.2f}")
            # The longer axis of the ellipse that holds a landmark with 90 %, in pixels.
            axes = np.sqrt(4.605 * np.linalg.eigvalsh(face.covariances)[:, -1])
            for landmark in np.argsort(axes)[::-1][:5]:
                x, y = face.landmarks[landmark]
                where = f"({x:.1f}, {y:.1f}) ± {axes[landmark]:.1f} px"
                print(f"  landmark {landmark}: {where}, confidence {face.confidences[landmark]:.2f}")


if __name__ == "__main__":
    main()
