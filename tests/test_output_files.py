"""No output destroys an input, and none is left half written."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from exalign.cli_support import UsageError
from exalign.output_files import refuse_overwriting, replacing, write_file

INPUT = b"an input"


@pytest.fixture
def given(tmp_path: Path) -> Path:
    path = tmp_path / "photos" / "a.png"
    path.parent.mkdir()
    path.write_bytes(INPUT)
    return path


def same(path: Path) -> Path:
    return path


def respelt(path: Path) -> Path:
    return path.parent.parent / "photos" / ".." / "photos" / path.name


def symbolic(path: Path) -> Path:
    link = path.parent.parent / "link.png"
    link.symlink_to(path)
    return link


def hard(path: Path) -> Path:
    link = path.parent.parent / "second.png"
    os.link(path, link)
    return link


def through_a_linked_directory(path: Path) -> Path:
    link = path.parent.parent / "same photos"
    link.symlink_to(path.parent, target_is_directory=True)
    return link / path.name


SPELLINGS = [same, respelt, symbolic, hard, through_a_linked_directory]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_an_input_by_any_name_is_no_target(given: Path, spelling: Callable[[Path], Path]) -> None:
    target = spelling(given)
    with pytest.raises(UsageError, match=r"--out: .* is an input"):
        refuse_overwriting([target], [given])


@pytest.mark.parametrize("spelling", [same, respelt, symbolic, hard])
def test_a_file_of_a_directory_of_inputs_is_no_target(given: Path, spelling: Callable[[Path], Path]) -> None:
    target = spelling(given)
    with pytest.raises(UsageError, match="input"):
        refuse_overwriting([target], [given.parent])


def test_a_directory_of_inputs_is_no_directory_of_outputs(given: Path) -> None:
    with pytest.raises(UsageError, match="the directory of the inputs"):
        refuse_overwriting([given.parent.parent / "photos"], [given.parent])


def test_an_open_input_is_no_target(given: Path) -> None:
    with given.open("rb") as file, pytest.raises(UsageError, match="is an input"):
        refuse_overwriting([given], [file.fileno()])


def test_two_outputs_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="would be written twice"):
        refuse_overwriting([tmp_path / "a.png", tmp_path / "b" / ".." / "a.png"], [])


def test_every_wrong_target_is_named_and_the_option_too(given: Path) -> None:
    other = given.with_name("b.png")
    other.write_bytes(INPUT)
    with pytest.raises(UsageError) as caught:
        refuse_overwriting([given, other], [given, other], option="--picture")
    assert str(caught.value).startswith("--picture: ")
    assert str(given) in str(caught.value)
    assert str(other) in str(caught.value)


def test_what_destroys_nothing_is_let_through(given: Path, tmp_path: Path) -> None:
    earlier = tmp_path / "earlier.png"
    earlier.write_bytes(b"an output of last time")
    new = given.with_name("new.png")
    refuse_overwriting([earlier, new, tmp_path / "not there" / "x.png"], [given, given.parent, tmp_path / "absent"])
    refuse_overwriting([os.devnull], [given, os.devnull])


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".exalign-")]


def test_a_file_is_replaced_whole_and_keeps_its_mode(given: Path) -> None:
    given.chmod(0o640)
    with replacing(given) as partial:
        assert partial.suffix == given.suffix
        partial.write_bytes(b"new")
        assert given.read_bytes() == INPUT
    assert given.read_bytes() == b"new"
    assert stat.S_IMODE(given.stat().st_mode) == 0o640
    assert not leftovers(given.parent)


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, MemoryError])
def test_what_is_interrupted_leaves_the_old_file_and_no_half_one(given: Path, error: type[BaseException]) -> None:
    def write() -> None:
        with replacing(given) as partial:
            partial.write_bytes(b"ne")
            raise error

    with pytest.raises(error):
        write()
    assert given.read_bytes() == INPUT
    assert not leftovers(given.parent)


def test_a_link_is_followed(given: Path) -> None:
    link = symbolic(given)
    write_file(link, "new")
    assert link.is_symlink()
    assert given.read_bytes() == b"new"


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        write_file(tmp_path / "absent" / "a.png", b"")
    assert caught.value.filename == str(tmp_path / "absent" / "a.png")
    with pytest.raises(IsADirectoryError):
        write_file(tmp_path, b"")


def test_what_is_no_regular_file_is_written_to(tmp_path: Path) -> None:
    write_file(os.devnull, b"gone")
    assert Path(os.devnull).is_char_device()


def test_a_command_that_is_told_to_end_removes_what_it_had_begun(given: Path) -> None:
    code = (
        "import sys, time\n"
        "from exalign.cli_support import ended_by_sigterm, run_command\n"
        "from exalign.output_files import replacing\n"
        "def command():\n"
        "    with replacing(sys.argv[1]) as partial:\n"
        "        partial.write_bytes(b'half')\n"
        "        print('begun', flush=True)\n"
        "        time.sleep(600)\n"
        "with ended_by_sigterm():\n"
        "    code = run_command('x', command, extra='serve')\n"
        "sys.exit(code)"
    )
    command = [sys.executable, "-c", code, str(given)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"begun\n"
        assert leftovers(given.parent)
        process.send_signal(signal.SIGTERM)
        assert (process.stderr.read(), process.wait()) == (b"x: terminated\n", 143)
    assert given.read_bytes() == INPUT
    assert not leftovers(given.parent)
