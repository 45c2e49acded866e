"""`.pts` by menpo, and the same written by it. Runs in menpo's environment. menpo has points as (y, x)."""

import json
import sys
from pathlib import Path

import menpo.io as mio

folder = Path(sys.argv[1])
written = folder / "pts-by-menpo"
written.mkdir()
faces = []
for file in sorted((folder / "pts").glob("*.pts")):
    points = mio.import_landmark_file(file)
    points = points["PTS"] if isinstance(points, dict) else points
    faces.append({"points": points.points[:, ::-1].tolist()})
    mio.export_landmark_file(points, written / file.name)
print(json.dumps({"pts": faces}))
