"""The project's folder: one annotation file an item, never written over what somebody else has written."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from exalign.output_files import write_file
from exalign_annotator.project.documents import Document, DocumentError, document_from, document_text
from exalign_annotator.project.leases import Lease, Leases
from exalign_client.errors import ExalignClientError

#: No annotation file is larger, bytes.
_MOST_BYTES = 2**28


class ConflictError(ExalignClientError):
    """Somebody else works on the item, or has changed it.

    Attributes:
        lease: of whoever works on it; None: it was changed meanwhile.
        revision: of the file now.
    """

    def __init__(self, message: str, lease: Lease | None, revision: int) -> None:
        super().__init__(message)
        self.lease, self.revision = lease, revision


class ProjectFolder:
    """The annotation files of a project, and who may write them.

    Args:
        path: the folder; it is made where it is not there.
        leases: of this project.

    Raises:
        OSError: it cannot be made.
    """

    def __init__(self, path: Path, leases: Leases) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self.path, self._leases = path, leases

    def load(self, name: str) -> Document:
        """The document of an item; a new one where there is no file.

        Raises:
            DocumentError: the file is none of ours.
            OSError: it cannot be read.
        """
        file = self._file(name)
        try:
            with file.open("rb") as opened:
                data = opened.read(_MOST_BYTES + 1)
        except FileNotFoundError:
            return Document(name)
        if len(data) > _MOST_BYTES:
            raise DocumentError(f"{file}: is larger than {_MOST_BYTES >> 20} MiB")
        try:
            return document_from(data.decode("utf-8"), name)
        except UnicodeDecodeError:
            raise DocumentError(f"{file}: is no text in UTF-8") from None

    def opened(self, name: str, holder: str) -> tuple[Document, Lease]:
        """The document of an item and its lease, which the caller has now where it was free."""
        with self._locked():
            return self.load(name), self._leases.take(name, holder)

    def lease(self, name: str, holder: str, *, by_force: bool = False) -> tuple[Lease, int]:
        """Renew a lease, or take it; also the revision of the file."""
        with self._locked():
            return self._leases.take(name, holder, by_force=by_force), self.load(name).revision

    def give_up(self, name: str, holder: str) -> None:
        """Give up a lease."""
        with self._locked():
            self._leases.give_up(name, holder)

    def save(self, document: Document, holder: str) -> Document:
        """Write a document that was changed.

        Args:
            document: with the revision that the change began from.
            holder: who changed it.

        Returns:
            The document with its new revision.

        Raises:
            ConflictError: somebody else works on it, or has changed it.
            OSError: it cannot be written.
        """
        with self._locked():
            lease = self._leases.take(document.name, holder)
            before = self.load(document.name).revision
            if lease.holder != holder:
                raise ConflictError(f"{lease.owner} works on this picture in another window", lease, before)
            if before != document.revision:
                raise ConflictError("this picture was changed elsewhere meanwhile", None, before)
            saved = replace(document, revision=before + 1)
            write_file(self._file(document.name), document_text(saved))
            return saved

    def _file(self, name: str) -> Path:
        return self.path / f"{name}.json"

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Alone with the folder, among all processes that have it open."""
        with (self.path / ".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
