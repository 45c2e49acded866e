"""`make sbom`: what a release is made of, as CycloneDX has it: every package with its version and licence.

    python tests/install/sbom.py [--environment serve] [--out out/sbom.json] [--audit]
    python tests/install/sbom.py --python /opt/exalign/bin/python [--out out/sbom.json] [--audit]

It describes a fresh environment with our wheels, or one that is there, such as that of an image. With ``--audit``,
pip-audit then asks for known weaknesses of what is in it; it fails where it cannot ask. Needs the extra ``audit``.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from install.environments import ENVIRONMENTS, build, create

#: Of CycloneDX.
SCHEMA = "1.6"


def describe(python: Path, out: Path) -> dict[str, Any]:
    """Write the SBOM of an environment.

    Args:
        python: its interpreter.
        out: where.

    Returns:
        The document.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "cyclonedx_py", "environment", str(python), "--pyproject", "pyproject.toml"]
    command += ["--spec-version", SCHEMA, "--output-format", "JSON", "--output-reproducible", "--output-file", str(out)]
    subprocess.run(command, check=True, cwd=ROOT)
    document: dict[str, Any] = json.loads(out.read_text("utf-8"))
    return document


def audit(python: Path) -> int:
    """Ask for known weaknesses; the exit code: 0 where there are none."""
    found = subprocess.run(
        [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True,
        capture_output=True,
        text=True,
    )
    command = [sys.executable, "-m", "pip_audit", "--strict", "--skip-editable", "--progress-spinner", "off"]
    return subprocess.run([*command, "--path", found.stdout.strip()], check=False).returncode


def main() -> int:
    """Run the command line; returns its exit code."""
    parser = argparse.ArgumentParser(description="Say what a release is made of.")
    parser.add_argument("--environment", choices=ENVIRONMENTS, default="serve")
    parser.add_argument("--python", type=Path, help="interpreter of an environment that is there")
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "sbom.json")
    parser.add_argument("--audit", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        python = arguments.python
        if python is None:
            (Path(name) / "wheels").mkdir()
            programs = create(arguments.environment, Path(name) / "environment", build(Path(name) / "wheels"))
            python = programs / "python"
        document = describe(python, arguments.out.absolute())
        print(f"{arguments.out}: {len(document['components'])} packages, CycloneDX {document['specVersion']}")
        return audit(python) if arguments.audit else 0


if __name__ == "__main__":
    sys.exit(main())
