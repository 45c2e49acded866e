"""Virtual environments for other people's programs.

Their requirements contradict ours and one another's, so nothing of theirs is ever installed beside the project. They go
to EXALIGN_PEERS, or to a folder beside their requirements that git does not see.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import venv
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Environment:
    """One environment.

    Attributes:
        requirements: a file with what it holds, each at one version; its name is the environment's.
        command: makes it.
    """

    requirements: Path
    command: str

    @property
    def name(self) -> str:
        """Of the environment."""
        return self.requirements.stem

    @property
    def folder(self) -> Path:
        """Where it is."""
        return Path(os.environ.get("EXALIGN_PEERS", self.requirements.parent / ".environments")) / self.name

    @property
    def python(self) -> Path:
        """Its interpreter.

        Raises:
            FileNotFoundError: it has not been made, or is of other requirements.
        """
        made = self.folder / "requirements.txt"
        if not made.is_file() or made.read_text() != self.requirements.read_text():
            raise FileNotFoundError(f"no environment for {self.name}: run {self.command}")
        return self.folder / "bin" / "python"

    def make(self) -> None:
        """Make it anew.

        Raises:
            subprocess.CalledProcessError: its packages cannot be installed.
        """
        home = self.folder
        home.parent.mkdir(parents=True, exist_ok=True)
        (home.parent / ".gitignore").write_text("*\n")
        venv.create(home, with_pip=True, clear=True)
        pip = [str(home / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--requirement", str(self.requirements)], check=True)
        # Last, so that an environment that was not finished is not taken for one.
        shutil.copyfile(self.requirements, home / "requirements.txt")

    def ready(self) -> Path:
        """Its interpreter; it is made first where it has to be.

        Raises:
            subprocess.CalledProcessError: its packages cannot be installed.
        """
        try:
            return self.python
        except FileNotFoundError:
            self.make()
            return self.python
