"""COCO keypoints by pycocotools, and an OKS of the file with itself. Runs in pycocotools' environment."""

import contextlib
import io
import json
import sys
from pathlib import Path

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

folder, sigmas = Path(sys.argv[1]), json.loads(sys.argv[2])
with contextlib.redirect_stdout(io.StringIO()):
    ours = COCO(str(folder / "coco.json"))
    rows = [np.reshape(a["keypoints"], (-1, 3)) for a in ours.loadAnns(ours.getAnnIds())]
    found = COCOeval(ours, ours.loadRes(list(ours.dataset["annotations"])), "keypoints")
    found.params.kpt_oks_sigmas = np.array(sigmas)
    found.evaluate()
    found.accumulate()
    found.summarize()
faces = [{"points": row[:, :2].tolist(), "visibility": row[:, 2].astype(int).tolist()} for row in rows]
print(json.dumps({"coco": faces, "AP": float(found.stats[0])}))
