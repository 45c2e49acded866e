"""Warms a model up as a server does, asks it for what a server is asked for, and prints the kernels made meanwhile."""

from __future__ import annotations

import asyncio
import gc
import json
import sys
from pathlib import Path

from numba.core.registry import CPUDispatcher

from exalign.v1 import evidence_pb2, geometry_pb2, service_pb2
from service_fakes import GOOD_BOX, request, running
from track_fakes import OPTIONS, SCRIPT, talk
from track_fakes import config as track_config


def kernels() -> dict[str, int]:
    """For how many types of arguments each kernel of ours is there."""
    found = [it for it in gc.get_objects() if isinstance(it, CPUDispatcher)]
    ours = [it for it in found if it.py_func.__module__.startswith("exalign")]
    return {f"{it.py_func.__module__}.{it.py_func.__name__}": len(it.signatures) for it in ours}


async def main(folder: Path) -> None:
    """Print the kernels after the warm-up, and those that later calls added, as JSON."""
    async with running(folder) as live:
        before = kernels()
        asked = request(GOOD_BOX)
        for view in (asked.landmarks, asked.heatmaps, asked.pose):
            view.SetInParent()
        answer = await live.stub.PredictLandmarks(asked)
        click = evidence_pb2.Click(landmark=30, position=geometry_pb2.Point(x=20, y=20))
        kept = answer.faces[0].posterior_id
        evidence = evidence_pb2.Evidence(clicks=[click])
        query = service_pb2.QueryConditionalRequest(posterior_id=kept, evidence=evidence, include_prior=True)
        await live.stub.QueryConditional(query)
        await live.stub.SuggestEvidence(service_pb2.SuggestEvidenceRequest(posterior_id=kept))
        it = talk(live)
        await it.open(track_config(**OPTIONS))
        await it.say(*SCRIPT)
        await it.close()
        print(json.dumps({"warm": sum(before.values()), "added": sorted(set(kernels().items()) - set(before.items()))}))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
