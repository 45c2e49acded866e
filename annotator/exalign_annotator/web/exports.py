"""The annotations of a project in the files of other tools."""

from __future__ import annotations

import asyncio
import tempfile
import zipfile
from pathlib import Path

from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from exalign_annotator.project.project import Project
from exalign_annotator.project.tracks import load_track
from exalign_annotator.web.answers import MissingError
from exalign_client.formats import FORMATS, LabelledPicture


class Exports:
    """The endpoint of exports.

    Args:
        project: what is exported.
    """

    def __init__(self, project: Project) -> None:
        self._project = project

    async def export(self, request: Request) -> Response:
        """All annotations in one file; where a format has a file a face, those in a ZIP archive."""
        name = request.path_params["format"]
        if name not in FORMATS:
            raise MissingError(f"there is no format {name[:40]!r}; known are {', '.join(FORMATS)}")
        folder = tempfile.TemporaryDirectory(prefix="exalign-export-")
        try:
            file = await asyncio.to_thread(self._written, name, Path(folder.name))
        except BaseException:
            folder.cleanup()
            raise
        return FileResponse(
            file,
            filename=file.name,
            headers={"Cache-Control": "no-store"},
            background=BackgroundTask(folder.cleanup),
        )

    def _written(self, name: str, folder: Path) -> Path:
        form, pictures = FORMATS[name], self.labelled()
        out = folder / f"faces{form.suffixes[0]}"
        if name == "pts":
            out = folder / "pts"
        form.write(pictures, out)
        if not out.is_dir():
            return out
        archive = folder / "faces-pts.zip"
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
            for file in sorted(out.rglob("*")):
                packed.write(file, file.relative_to(out))
        return archive

    def labelled(self) -> list[LabelledPicture]:
        """Every picture that was looked at, and every frame of the videos that were tracked."""
        folder, found = self._project.folder, []
        for item in self._project.items.values():
            document = folder.load(item.name)
            if item.video:
                track = load_track(folder.path, item.name)
                found += track.labelled(document) if track is not None else []
            elif document.size is not None:
                found.append(document.labelled())
        return found
