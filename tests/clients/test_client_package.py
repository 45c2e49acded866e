"""What importing the client means: nothing but what the base install brings, and only the names it exports."""

from __future__ import annotations

import subprocess
import sys

import exalign_client
from exalign_client import errors


def test_importing_the_client_brings_in_neither_server_nor_opencv() -> None:
    program = (
        "import sys, exalign_client, exalign_client.commands.cli, exalign_client.commands.demo;"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    loaded = set(done.stdout.split())
    assert {"exalign", "exalign_client", "grpc", "numpy"} <= loaded
    assert not loaded & {"cv2", "skimage", "exalign_service", "exalign_engine", "prometheus_client"}


def test_without_opencv_the_extra_is_named() -> None:
    program = (
        "import sys; sys.modules['cv2'] = None\n"
        "from exalign_client.commands.cli import main\n"
        "sys.exit(main(['predict', 'a.png', '--out', 'b.png']))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    expected = "exalign: reading and drawing pictures needs the extra 'cli': pip install 'exalign[cli]'\n"
    assert (done.returncode, done.stderr) == (1, expected)


def test_every_error_is_drawn_in_the_tree_and_exported() -> None:
    kinds = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.ExalignClientError)
    }
    assert kinds <= set(exalign_client.__all__)
    for name in kinds:
        assert name in (errors.__doc__ or "")


def test_every_exported_name_exists() -> None:
    assert [name for name in exalign_client.__all__ if not hasattr(exalign_client, name)] == []
