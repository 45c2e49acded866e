"""A project: its items, their documents, and what may be done to them."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from exalign.output_files import write_file
from exalign_annotator.project.documents import AnnotatedFace, Document
from exalign_annotator.project.folder import ProjectFolder
from exalign_annotator.project.inputs import DROPPED, Item, item_of, items_of
from exalign_client.errors import InvalidRequestError, Violation
from exalign_client.pictures.decode import READABLE_SUFFIXES

#: Most items of a project that are dropped onto the page.
_MOST_DROPPED = 10_000


class Project:
    """What was opened.

    Args:
        paths: as they were given.
        folder: with the annotations.
    """

    def __init__(self, paths: Sequence[Path], folder: ProjectFolder) -> None:
        self.folder = folder
        self.items = {item.name: item for item in items_of(paths, folder.path)}

    def add_picture(self, name: str, data: bytes) -> Item:
        """Keep a picture that was dropped onto the page; its name is made safe.

        Raises:
            InvalidRequestError: the name has no picture's ending, or there are too many.
            OSError: it cannot be written.
        """
        suffix = Path(name).suffix.lower()
        if suffix not in READABLE_SUFFIXES:
            raise InvalidRequestError([Violation("name", f"must end in {', '.join(READABLE_SUFFIXES)}")])
        if len(self.items) >= _MOST_DROPPED:
            raise InvalidRequestError([Violation("name", f"there are {_MOST_DROPPED} items already")])
        folder = self.folder.path / DROPPED
        folder.mkdir(exist_ok=True)
        stem = safe_stem(Path(name.replace("\\", "/")).name.removesuffix(Path(name).suffix))
        file = folder / f"{stem}{suffix}"
        while file.exists():
            file = folder / f"{stem}-{secrets.token_hex(3)}{suffix}"
        write_file(file, data)
        item = item_of(file.absolute(), self.items)
        self.items[item.name] = item
        return item

    def change(self, name: str, holder: str, revision: int, change: Callable[[Document], Document]) -> Document:
        """Change a document and save it.

        Args:
            name: of the item.
            holder: who changes it.
            revision: that the change began from.
            change: makes the new document from the old.

        Raises:
            ConflictError: somebody else works on it, or has changed it.
        """
        document = self.folder.load(name)
        return self.folder.save(replace(change(document), revision=revision), holder)


def safe_stem(stem: str) -> str:
    """A file name's stem of letters, digits, dashes and underscores, at most 80 of them."""
    kept = "".join(sign if sign.isalnum() or sign in "-_" else "_" for sign in stem).strip("_")
    return kept[:80] or "picture"


def with_face(document: Document, face: AnnotatedFace, size: tuple[int, int] | None = None) -> Document:
    """The document with a face added, or put in the place of the one of its number."""
    numbers = [one.number for one in document.faces]
    faces = (
        tuple(face if one.number == face.number else one for one in document.faces)
        if face.number in numbers
        else (*document.faces, face)
    )
    return replace(
        document,
        faces=faces,
        size=size or document.size,
        next_number=max(document.next_number, face.number + 1),
    )


def without_face(document: Document, number: int) -> Document:
    """The document without a face."""
    return replace(document, faces=tuple(face for face in document.faces if face.number != number))
