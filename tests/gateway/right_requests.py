"""Right requests for the campaign of schemathesis, and right ones with a single wrong value; loaded as its hooks.

By the OpenAPI alone hardly any body gets past the first check: no random base64 is a picture. So three quarters of the
bodies come from here: half right by the words of the contract, a quarter right but for one value. The rest are
schemathesis' own.

This runs in schemathesis' environment and imports nothing of ours: pictures, the landmarks' count and posterior ids
come from the JSON file that the variable `GIVEN` names.
"""

from __future__ import annotations

import base64
import copy
import json
import os
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

#: The variable that names the file of `Given`'s fields.
GIVEN = "EXALIGN_RIGHT_REQUESTS"

LANDMARKS, CLASSES = 68, 12
GROUPS = ["JAW", "BROWS", "NOSE", "EYES", "MOUTH", "ALL"]
ENCODINGS = ["UNSPECIFIED", "FLOAT32", "UINT8", "SPARSE"]

Body = dict[str, Any]
Strategy = st.SearchStrategy[Any]

landmark = st.integers(0, LANDMARKS - 1)
pixels = st.floats(-200, 200, width=32)
trust = st.floats(0.5, 500, width=32)
point = st.fixed_dictionaries({"x": pixels, "y": pixels})


def landmarks(least: int = 0) -> Strategy:
    """Some landmarks, each once."""
    return st.lists(landmark, min_size=least, max_size=6, unique=True)


def _corners(x: float, y: float, width: float, height: float) -> Body:
    return {"x0": x, "y0": y, "x1": x + width, "y1": y + height}


rectangle = st.builds(_corners, pixels, pixels, st.floats(1, 200, width=32), st.floats(1, 200, width=32))

#: Boxes that overlap a picture of 64 x 48 pixels, in the convention of landmarks or of a detector.
box = st.builds(
    lambda corners, detector: {**corners, **detector},
    st.builds(_corners, *(st.floats(a, b, width=32) for a, b in ((-8, 50), (-8, 40), (10, 60), (10, 60)))),
    st.sampled_from([{}, {}, {"detector": "mtcnn"}, {"detector": "yunet"}]),
)

detection = st.fixed_dictionaries(
    {},
    optional={
        "detector": st.sampled_from(["", "mtcnn"]),
        "maxFaces": st.integers(1, 64),
        "minScore": st.floats(0, 1, width=32),
    },
)

landmark_options = st.fixed_dictionaries(
    {},
    optional={
        "topExemplars": st.integers(0, 100),
        "groups": st.lists(
            st.one_of(
                st.sampled_from([{"group": f"LANDMARK_GROUP_{name}"} for name in GROUPS]),
                landmarks(1).map(lambda chosen: {"landmarks": {"indices": chosen}}),
            ),
            max_size=3,
        ),
    },
)

heatmap_options = st.fixed_dictionaries(
    {},
    optional={
        "landmarks": landmarks(),
        "rectangle": rectangle,
        "width": st.integers(1, 48),
        "height": st.integers(1, 48),
        "encoding": st.sampled_from([f"HEATMAP_ENCODING_{name}" for name in ENCODINGS]),
        "sparseMass": st.floats(0.0625, 1, width=32),
    },
)  # fmt: skip


def _interval(a: float, b: float) -> Body:
    return {"lower": min(a, b), "upper": max(a, b)}


degrees = st.floats(-180, 180, width=32)
#: Wide enough for the most bins.
wide = st.builds(lambda lower, width: _interval(lower, lower + width), st.floats(-90, 80), st.floats(1, 100))

pose_options = st.fixed_dictionaries(
    {},
    optional={
        "intervalMasses": st.lists(st.floats(0.0625, 0.9375, width=32), max_size=8),
        "histogram": st.fixed_dictionaries(
            {},
            optional={
                "yawBins": st.integers(0, 60),
                "rollBins": st.integers(0, 60),
                "yawRange": wide,
                "rollRange": wide,
            },
        ),
    },
)

click = st.builds(
    lambda n, at, how: {"landmark": n, "position": at, **how},
    landmark,
    point,
    st.one_of(st.just({}), trust.map(lambda r: {"radius": r}), trust.map(lambda s: {"sigma": s})),
)

region = st.one_of(
    rectangle.map(lambda r: {"rectangle": r}),
    st.builds(lambda at, r: {"circle": {"center": at, "radius": r}}, point, trust),
    st.lists(point, min_size=3, max_size=6).map(lambda corners: {"polygon": {"vertices": corners}}),
)

evidence = st.fixed_dictionaries(
    {},
    optional={
        "clicks": st.lists(click, max_size=5, unique_by=lambda c: c["landmark"]),
        "regions": st.lists(
            st.builds(
                lambda n, where, side: {"landmark": n, "region": where, **side},
                landmark,
                region,
                st.sampled_from([{}, {"side": "REGION_SIDE_INSIDE"}, {"side": "REGION_SIDE_OUTSIDE"}]),
            ),
            max_size=3,
        ),
        "poses": st.lists(
            st.fixed_dictionaries(
                {}, optional={name: st.builds(_interval, degrees, degrees) for name in ("yaw", "pitch", "roll")}
            ),
            max_size=2,
        ),
        "boxMotion": st.sampled_from([f"BOX_MOTION_{name}" for name in ("UNSPECIFIED", "FIXED", "FREE")]),
    },
)


def _raw(width: int, height: int, kind: str, fill: int) -> Body:
    data = bytes([fill]) * (width * height * (1 if kind == "GRAY8" else 3))
    raw = {"data": base64.b64encode(data).decode(), "pixelFormat": f"PIXEL_FORMAT_{kind}"}
    return {"raw": raw | {"width": width, "height": height}}


def right(name: str, given: Body) -> Strategy:
    """Right bodies of a method.

    Args:
        name: of the method.
        given: ``pictures``, files in base64; ``posteriors``, ids of faces that the server keeps.
    """
    file = st.sampled_from(given["pictures"]).map(lambda data: {"encoded": data})
    raw = st.builds(
        _raw, st.integers(51, 64), st.integers(41, 48), st.sampled_from(["RGB8", "BGR8", "GRAY8"]), st.integers(0, 255)
    )
    image = st.fixed_dictionaries({"image": st.one_of(file, raw)})
    views = {"landmarks": landmark_options, "heatmaps": heatmap_options, "pose": pose_options}
    some = image, st.fixed_dictionaries({}, optional={"boxes": st.lists(box, max_size=3), "detection": detection})
    one = image, st.fixed_dictionaries({}, optional={"box": box, "detection": detection})
    kept = (st.fixed_dictionaries({"posteriorId": st.sampled_from(given["posteriors"])}),)
    asked = st.fixed_dictionaries({}, optional=views)
    if name == "PredictLandmarks":
        stop = st.sampled_from([{}, {"stopAfter": "STOP_AFTER_POSTERIOR"}])
        found = _joined(image, st.fixed_dictionaries({}, optional={"detection": detection}))
        detected = found.map(lambda body: {**body, "stopAfter": "STOP_AFTER_DETECTION"})
        return st.one_of(_joined(*some, asked, stop), _joined(*some, asked, stop), detected)
    if name in ("PredictHeatmaps", "EstimatePose"):
        return st.one_of(_joined(*some, asked), _joined(*kept, asked))
    if name == "QueryConditional":
        known = st.fixed_dictionaries({"evidence": evidence}, optional={"includePrior": st.booleans()})
        return st.one_of(_joined(*one, known, asked), _joined(*kept, known, asked))
    if name == "SuggestEvidence":
        return st.one_of(_joined(*one, _suggestion(), asked), _joined(*kept, _suggestion(), asked))
    if name == "GetExemplars":
        ids = st.lists(st.integers(0, CLASSES - 1), min_size=1, max_size=20)
        return st.fixed_dictionaries({"classIds": ids}, optional={"bundleId": st.sampled_from(["", given["bundle"]])})
    return st.just({})


def _suggestion() -> Strategy:
    criteria = [f"SUGGESTION_CRITERION_{name}" for name in ("UNSPECIFIED", "ERROR", "ENTROPY")]
    options = {"maxSuggestions": st.integers(1, 68), "criterion": st.sampled_from(criteria), "clickSigma": trust}
    return st.fixed_dictionaries(
        {}, optional={"suggestion": st.fixed_dictionaries({}, optional=options), "evidence": evidence}
    )


def _joined(*parts: Strategy) -> Strategy:
    """One body of several."""
    return st.tuples(*parts).map(lambda found: {key: value for part in found for key, value in part.items()})


#: Values that are wrong nearly everywhere.
WRONG = st.sampled_from(
    [None, True, -1, 0, 68, 2**31 - 1, 2**31, 1e300, -0.0, 1e-40, "", "x", "NaN", "Infinity", "-Infinity", [], {}, [[]]]
)


@st.composite
def spoilt(draw: st.DrawFn, bodies: Strategy) -> Body:
    """A right body with one value, anywhere in it, replaced or left out; or with a field that there is not."""
    body: Body = copy.deepcopy(draw(bodies))
    places = list(_places(body))
    if not places:
        return {draw(st.sampled_from(["image", "landmarks", "more"])): draw(WRONG)}
    holder, key = places[draw(st.integers(0, len(places) - 1))]
    if draw(st.integers(0, 5)) == 0:
        del holder[key]
    else:
        holder[key] = draw(WRONG)
    return body


def _places(value: Any) -> Any:
    """(holder, key) of everything in a body."""
    for key in list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield value, key
        yield from _places(value[key])


def bodies(name: str, given: Body, others: Strategy) -> Strategy:
    """Half right, a quarter spoilt, a quarter what schemathesis would send."""
    of_here = right(name, given)
    choices = [of_here, of_here, spoilt(of_here), others]
    return st.integers(0, 3).flatmap(lambda which: choices[which])


if GIVEN in os.environ:
    import schemathesis

    _given = json.loads(Path(os.environ[GIVEN]).read_text())

    @schemathesis.hook
    def before_generate_body(context: Any, strategy: Strategy) -> Strategy:
        """Bodies of here beside schemathesis' own."""
        return bodies(context.operation.path.rpartition("/")[2], _given, strategy)
