"""The project's folder: what is kept, under which names, by whom, and that nobody writes over another's work."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from exalign.cli_support import UsageError
from exalign_annotator.project.documents import AnnotatedFace, Answer, Document, FrameEvidence, box_of
from exalign_annotator.project.evidence_json import evidence_from_json, evidence_to_json
from exalign_annotator.project.folder import ConflictError, ProjectFolder
from exalign_annotator.project.inputs import items_of, project_folder
from exalign_annotator.project.leases import LEASE_SECONDS, Leases
from exalign_annotator.project.project import Project
from exalign_annotator.project.tracks import FrameAnswer, KeyFrame, Track, load_track, save_track
from exalign_client.errors import InvalidRequestError
from exalign_client.formats import FORMATS
from exalign_client.requests.evidence import Circle, Click, Inside, Outside, Polygon, PoseRange, Rectangle

ANNA, BERT = "anna12345678", "bert12345678"

EVERYTHING = (
    Click(30, 20.5, 21.25),
    Click(8, 20.0, 30.0, sigma=2.0),
    Inside(48, Rectangle(1.0, 2.0, 3.0, 4.0)),
    Outside(54, Circle(5.0, 6.0, 7.0)),
    Outside(57, Polygon(((0.0, 0.0), (4.0, 0.0), (0.0, 4.0)))),
    PoseRange(yaw=(-10.0, 10.0), roll=(0.0, 5.0)),
)


class Now:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.seconds = 1_000_000.0

    def __call__(self) -> float:
        return self.seconds


def answer(shift: float = 0.0) -> Answer:
    """Some answer."""
    rng = np.random.default_rng(5)
    return Answer(
        points=rng.uniform(10, 50, (68, 2)).round(3) + shift,
        covariances=np.tile((2.0, 0.5, 1.0), (68, 1)),
        confidences=np.linspace(0, 1, 68).round(4),
        box=np.array([10.0, 10.0, 50.0, 50.0]),
        presence=0.98,
        pose=(1.0, -2.0, 3.0),
        surprise=0.25,
    )


def document(**changes: object) -> Document:
    """One face of which everything was said that can be."""
    face = AnnotatedFace(1, box_of((10, 10, 50, 50), "blazeface"), EVERYTHING, frozenset({8, 40}), answer())
    return replace(Document("a.jpg", (64, 48), (face,), next_number=2), **changes)  # type: ignore[arg-type]


def folder(path: Path, owner: str = "anna", clock: Now | None = None) -> ProjectFolder:
    return ProjectFolder(path, Leases(path, owner, clock or Now()))


def test_what_is_kept_comes_back_the_same(tmp_path: Path) -> None:
    said = {3: FrameEvidence(EVERYTHING[:1], frozenset({1}))}
    saved = folder(tmp_path).save(document(frames=said), ANNA)
    again = folder(tmp_path).load("a.jpg")
    assert again.to_json() == saved.to_json()
    assert again.revision == 1
    assert (again.faces[0].evidence, again.frames) == (EVERYTHING, said)


def test_what_is_kept_is_coco_that_other_tools_read(tmp_path: Path) -> None:
    """A clicked landmark is seen, one that was marked hidden is uncertain; else the confidence decides."""
    folder(tmp_path).save(document(), ANNA)
    (picture,) = FORMATS["coco"].read(tmp_path / "a.jpg.json")
    (face,) = picture.faces
    assert (picture.name, picture.size) == ("a.jpg", (64, 48))
    np.testing.assert_allclose(face.points, answer().points, atol=1e-3)
    assert [face.visibility[n] for n in (30, 8, 40, 10, 60)] == [2, 1, 1, 1, 2]


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"exalign": {"format": 2}}', "\u0000", '{"exalign": 5}'])
def test_a_file_that_is_none_of_ours_is_named_and_left(tmp_path: Path, text: str) -> None:
    file = tmp_path / "a.jpg.json"
    file.write_text(text)
    here = folder(tmp_path)
    with pytest.raises(Exception, match=r"a\.jpg"):
        here.save(document(), ANNA)
    assert file.read_text() == text


def test_who_began_from_an_older_revision_writes_nothing(tmp_path: Path) -> None:
    here = folder(tmp_path)
    first = here.save(document(), ANNA)
    here.save(first, ANNA)
    with pytest.raises(ConflictError, match="changed elsewhere") as refused:
        here.save(first, ANNA)
    assert (refused.value.lease, refused.value.revision) == (None, 2)


def test_two_processes_on_one_folder_do_not_overwrite_each_other(tmp_path: Path) -> None:
    """A lease runs out, is taken, or is given up; until then another's save is refused and says whose it is."""
    clock = Now()
    anna, bert = folder(tmp_path, "anna", clock), folder(tmp_path, "bert", clock)
    saved = anna.save(document(), ANNA)
    with pytest.raises(ConflictError, match="anna works") as refused:
        bert.save(saved, BERT)
    assert refused.value.lease is not None
    assert refused.value.lease.owner == "anna"
    assert bert.opened("a.jpg", BERT)[1].holder == ANNA

    clock.seconds += LEASE_SECONDS - 1
    assert anna.lease("a.jpg", ANNA)[0].holder == ANNA  # renewed
    clock.seconds += LEASE_SECONDS - 1
    assert bert.lease("a.jpg", BERT)[0].holder == ANNA
    assert bert.lease("a.jpg", BERT, by_force=True)[0].holder == BERT
    with pytest.raises(ConflictError, match="bert works"):
        anna.save(saved, ANNA)
    bert.give_up("a.jpg", ANNA)  # not hers to give
    assert anna.lease("a.jpg", ANNA)[0].holder == BERT
    clock.seconds += LEASE_SECONDS
    assert anna.save(saved, ANNA).revision == 2


def test_a_lease_from_the_future_or_half_written_is_none(tmp_path: Path) -> None:
    clock = Now()
    leases = Leases(tmp_path, "anna", clock)
    leases.take("a.jpg", ANNA)
    clock.seconds -= 3600
    assert leases.current("a.jpg") is None
    (tmp_path / "a.jpg.lease").write_text('{"holder": "an')
    assert leases.current("a.jpg") is None
    assert leases.take("a.jpg", BERT).holder == BERT


def test_items_have_names_that_are_no_paths(tmp_path: Path) -> None:
    for path in ("a/x.jpg", "b/x.jpg", "b/y2.png", "b/y10.png", "b/clip.mp4", "b/notes.txt", "b/.hidden.jpg"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).touch()
    project = tmp_path / "project"
    (project / "pictures").mkdir(parents=True)
    (project / "pictures" / "dropped.jpg").touch()
    found = items_of([tmp_path / "a" / "x.jpg", tmp_path / "b", tmp_path / "a" / "x.jpg"], project)
    assert [one.name for one in found] == ["x.jpg", "clip.mp4", "b-x.jpg", "y2.png", "y10.png", "dropped.jpg"]
    assert [one.name for one in found if one.video] == ["clip.mp4"]
    with pytest.raises(UsageError, match="neither a picture"):
        items_of([tmp_path / "b" / "notes.txt"], project)
    with pytest.raises(UsageError, match="no such file"):
        items_of([tmp_path / "absent.jpg"], project)


def test_annotations_lie_beside_the_first_input_unless_it_is_said_where(tmp_path: Path) -> None:
    picture = tmp_path / "a.jpg"
    picture.touch()
    beside = tmp_path / "exalign-annotations"
    assert project_folder([picture], None) == project_folder([tmp_path], None) == beside
    assert project_folder([], None) == Path("exalign-annotations")
    assert project_folder([picture], tmp_path / "p") == tmp_path / "p"


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("face.jpg", "face.jpg"),
        ("../../etc/passwd.png", "passwd.png"),
        ("C:\\faces\\me.JPG", "me.jpg"),
        ("..jpg", "picture.jpg"),
        ("a b\u0000c.jpg", "a_b_c.jpg"),
        ("x" * 300 + ".jpg", "x" * 80 + ".jpg"),
    ],
)
def test_a_dropped_picture_gets_a_safe_name(tmp_path: Path, name: str, kept: str) -> None:
    project = Project([], folder(tmp_path))
    item = project.add_picture(name, b"data")
    assert item.path == tmp_path / "pictures" / kept
    assert project.add_picture(name, b"other").path != item.path
    assert item.path.read_bytes() == b"data"


def test_what_is_no_picture_is_not_kept(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequestError, match="must end in"):
        Project([], folder(tmp_path)).add_picture("page.html", b"<script>")
    assert not (tmp_path / "pictures").exists()


def test_evidence_is_written_and_read_the_same() -> None:
    assert evidence_from_json(json.loads(json.dumps(evidence_to_json(EVERYTHING)))) == EVERYTHING


@pytest.mark.parametrize(
    ("value", "field"),
    [
        (None, "evidence"),
        ([None], r"evidence\[0\]"),
        ([{"kind": "wish", "landmark": 1}], "kind"),
        ([{"kind": "click", "landmark": 68, "x": 1, "y": 1}], "landmark"),
        ([{"kind": "click", "landmark": True, "x": 1, "y": 1}], "landmark"),
        ([{"kind": "click", "landmark": 1, "x": float("nan"), "y": 1}], "x"),
        ([{"kind": "click", "landmark": 1, "x": "1", "y": 1}], "x"),
        ([{"kind": "inside", "landmark": 1, "area": {}}], "area"),
        ([{"kind": "inside", "landmark": 1, "area": {"rectangle": [1, 2, 3]}}], "rectangle"),
        ([{"kind": "pose", "yaw": [1]}], "yaw"),
        ([{"kind": "pose"}] * 145, "at most 144"),
    ],
)
def test_what_is_no_evidence_is_named(value: object, field: str) -> None:
    with pytest.raises(InvalidRequestError, match=field):
        evidence_from_json(value)


def test_the_answers_about_a_video_come_back_and_are_coco(tmp_path: Path) -> None:
    """A frame in which the face is hidden is uncertain as a whole; one in which it is lost has none."""
    said = Document("c.mp4", (64, 48), revision=2, frames={0: FrameEvidence(EVERYTHING[:1])})
    states = ("visible", "hidden", "lost")
    frames = tuple(FrameAnswer(i / 25, state, answer(i)) for i, state in enumerate(states))
    frames += (FrameAnswer(0.12, "lost", None),)
    track = Track(2, (64, 48), frames, (KeyFrame(1, 30, 0.5),))
    save_track(tmp_path, said, track)
    again = load_track(tmp_path, "c.mp4")
    assert again is not None
    assert (again.revision, again.size, again.suggestions) == (2, (64, 48), track.suggestions)
    assert [one.uncertainty for one in again.frames] == [one.uncertainty for one in frames]
    pictures = FORMATS["coco"].read(tmp_path / "c.mp4.frames.json")
    assert [len(one.faces) for one in pictures] == [1, 1, 0, 0]
    assert pictures[0].faces[0].visibility.max() == 2
    assert pictures[1].faces[0].visibility.max() == 1
    assert load_track(tmp_path, "other.mp4") is None
