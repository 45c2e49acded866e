"""How large an answer will be, before anything of it is computed: what is larger than its caller takes is refused.

Only the parts whose size the request decides are counted: cells, bins and groups. The rest of a face takes a few
thousand bytes. The size of a sparse heatmap is known only afterwards; `AnswerSize.check_sparse` looks at it then.
"""

from __future__ import annotations

from dataclasses import dataclass

from exalign.v1 import heatmap_pb2
from exalign_engine.errors import InvalidInputError, Violations
from exalign_service.requests.picture import LandmarkOptions
from exalign_service.requests.views import HeatmapOptions, PoseOptions, ViewOptions

#: A face without its views, with its landmarks; one named exemplar; one heatmap beside its cells; one pose beside its
#: histogram; one group beside what it echoes. Bytes, rounded up.
_FACE, _EXEMPLAR, _HEATMAP, _POSE, _GROUP = 3000, 16, 48, 600, 64

#: Bytes a cell takes; of a sparse heatmap, each that is sent: its mass and its number.
_CELL: dict[int, int] = {heatmap_pb2.HEATMAP_ENCODING_FLOAT32: 4, heatmap_pb2.HEATMAP_ENCODING_UINT8: 1}
_SPARSE_CELL = 4 + 3

_BIN = 4


@dataclass(frozen=True)
class AnswerSize:
    """What the answers about several faces take.

    Attributes:
        face: bytes a face, at least so many.
        field: of the request, the one that decides most of it.
        bound: most bytes of an answer.
        sparse: whether heatmaps may add to it.
    """

    face: int
    field: str
    bound: int
    sparse: bool = False

    def violation(self, faces: int, frames: int = 1) -> str | None:
        """Why so many faces do not fit into one answer; None: they do.

        Args:
            faces: in one frame.
            frames: of a video, that may be answered together.
        """
        if faces * frames * self.face <= self.bound:
            return None
        most = self.bound // (frames * self.face)
        fit = f"{most} would fit" if most else "not one would fit"
        count = f"{faces} {'face' if faces == 1 else 'faces'}" + (f" × {frames} frames" if frames > 1 else "")
        return (
            f"is too much for one answer: {count} × {self.face:,} bytes, at most"
            f" max_answer_bytes = {self.bound:,}; {fit}"
        )

    def add_violation(self, faces: int, violations: Violations, frames: int = 1) -> None:
        """Add what is wrong with so many faces, if anything; see `violation`."""
        text = self.violation(faces, frames)
        if text is not None:
            violations.add(self.field, text)

    def check(self, faces: int) -> None:
        """Refuse faces that were detected.

        Raises:
            InvalidInputError: the answer about so many would be too large.
        """
        text = self.violation(faces)
        if text is not None:
            raise InvalidInputError.of(self.field, text)

    def check_sparse(self, size: int) -> None:
        """Refuse an answer that sparse heatmaps have made too large.

        Args:
            size: of its faces, bytes.

        Raises:
            InvalidInputError: they have.
        """
        if self.sparse and size > self.bound:
            text = f"are too much for one answer: {size:,} bytes, at most max_answer_bytes = {self.bound:,}"
            raise InvalidInputError.of("heatmaps", text)


def answer_size(views: ViewOptions, bound: int, *, at_worst: bool = False) -> AnswerSize:
    """What a request with these views is answered with.

    Args:
        views: of each face.
        bound: most bytes of an answer.
        at_worst: count every cell of sparse heatmaps.
    """
    sparse = views.heatmaps is not None and views.heatmaps.encoding not in _CELL
    parts = {
        "boxes": _FACE + (0 if views.landmarks is None else _EXEMPLAR * views.landmarks.top_exemplars),
        "landmarks.groups": _landmarks(views.landmarks),
        "heatmaps": _heatmaps(views.heatmaps, _SPARSE_CELL if at_worst else 0),
        "pose.histogram": _pose(views.pose),
    }
    return AnswerSize(sum(parts.values()), max(parts, key=parts.__getitem__), bound, sparse)


def _landmarks(options: LandmarkOptions | None) -> int:
    return 0 if options is None else sum(_GROUP + group.selection.ByteSize() for group in options.groups)


def _heatmaps(options: HeatmapOptions | None, sparse_cell: int) -> int:
    if options is None:
        return 0
    cells = options.width * options.height * _CELL.get(options.encoding, sparse_cell)
    return len(options.landmarks) * (_HEATMAP + cells)


def _pose(options: PoseOptions | None) -> int:
    if options is None:
        return 0
    return _POSE + (0 if options.grid is None else _BIN * options.grid.yaw_bins * options.grid.roll_bins)
