"""Label Studio's JSON by its own SDK. Runs in the SDK's environment.

The configuration and the predictions are checked by its `LabelInterface`. Its converter takes annotations, which
predictions become once a person accepts them: it makes COCO keypoints of the first face (it would merge several into
one), in whole pixels. COCO made by us becomes tasks by its own importer.
"""

import json
import logging
import sys
from pathlib import Path

from label_studio_sdk.converter import Converter
from label_studio_sdk.converter.imports.coco import convert_coco_to_ls
from label_studio_sdk.label_interface import LabelInterface

logging.disable(logging.CRITICAL)
folder = Path(sys.argv[1])
config = (folder / "label-studio.xml").read_text()
tasks = json.loads((folder / "label-studio.json").read_text())
interface = LabelInterface(config)
interface.validate()
errors = [
    e for task in tasks for p in task["predictions"] for e in interface.validate_prediction(p, return_errors=True)
]

accepted = []
for number, task in enumerate(tasks):
    regions = task["predictions"][0]["result"]
    first = [r for r in regions if r.get("parentID", r["id"]) == "face-0"]
    accepted.append({"id": number, "data": task["data"], "annotations": [{"id": number, "result": first}]})
(folder / "accepted.json").write_text(json.dumps(accepted))
converter = Converter(config, project_dir=None, download_resources=False)
converter.convert_to_coco(str(folder / "accepted.json"), str(folder / "label-studio-coco"), is_dir=False)
made = json.loads((folder / "label-studio-coco" / "result.json").read_text())
rows = [a["keypoints"] for a in made["annotations"] if "keypoints" in a]
faces = [{"points": [row[i : i + 2] for i in range(0, len(row), 3)], "visibility": row[2::3]} for row in rows]
converter.convert_to_json(str(folder / "accepted.json"), str(folder / "label-studio-json"), is_dir=False)
convert_coco_to_ls(
    input_file=str(folder / "coco.json"), out_file=str(folder / "coco-by-label-studio.json"), out_type="predictions"
)
print(json.dumps({"label-studio": faces, "errors": errors}))
