"""The keys of resume tokens: servers that share them agree, and they change under sessions."""

from __future__ import annotations

import secrets
from pathlib import Path

import grpc
import pytest

from exalign_service.access import resume_keys
from exalign_service.access.resume_keys import ResumeKeys
from exalign_service.access.start_checks import check_access
from exalign_service.config.access import AccessConfig
from exalign_service.config.start_checks import StartError
from service_fakes import GOOD_BOX, config, running, until
from track_fakes import config as track_config
from track_fakes import frame, sessions, talk


class Nobody:
    def file_reloaded(self, what: str, *, good: bool) -> None:
        pass


@pytest.fixture(autouse=True)
def _looked_at_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resume_keys, "_LOOK", 0.0)


def write(path: Path, *keys: str) -> Path:
    new = path.with_suffix(".new")
    new.write_text("# the newest first\n" + "\n".join(keys) + "\n")
    return new.rename(path)


def test_servers_with_one_file_agree_and_others_do_not(tmp_path: Path) -> None:
    old, new = secrets.token_hex(32), secrets.token_hex(48)
    path = write(tmp_path / "keys", old)
    one, other, stranger = ResumeKeys(path, Nobody()), ResumeKeys(path, Nobody()), ResumeKeys(None, Nobody())
    mac = one.sign("alice", b"data")
    assert other.verify("alice", b"data", mac)
    for keys, owner, data in ((other, "bob", b"data"), (other, "alice", b"dat"), (stranger, "alice", b"data")):
        assert not keys.verify(owner, data, mac)
    assert not other.verify("alicedata", b"", mac)  # the owner ends where it ends
    assert not other.verify("alice", b"data", mac[:-1])
    write(path, new, old)
    assert other.sign("alice", b"data") != mac
    assert other.verify("alice", b"data", mac)
    write(path, new)
    assert not other.verify("alice", b"data", mac)


async def test_a_session_outlives_its_key_as_long_as_that_is_in_the_file(tmp_path: Path) -> None:
    old, new = secrets.token_hex(32), secrets.token_hex(32)
    path = write(tmp_path / "keys", old)
    async with running(tmp_path, config(resume_keys=path)) as live:
        it = talk(live)
        await it.open(track_config("mine"))
        (first,) = await it.results(frame(0, GOOD_BOX))
        write(path, new, old)
        (second,) = await it.results(frame(1))
        await it.cut()
        await until(lambda: sessions(live) == {"detached": 1})
        again = talk(live)
        assert (await again.open(track_config("mine", first.resume_token))).epoch == 2
        await again.cut()
        await until(lambda: sessions(live) == {"detached": 1})
        write(path, new)
        late = talk(live)
        await late.say(track_config("mine", first.resume_token))
        code, details = await late.refused()
        assert (code, details.reason) == (grpc.StatusCode.NOT_FOUND, "SESSION_NOT_FOUND")
        third = talk(live)
        assert (await third.open(track_config("mine", second.resume_token))).epoch == 3
        await third.cut()


@pytest.mark.parametrize("lines", [[], ["key"], ["ab" * 31], ["abc" * 22 + "a"], ["ab" * 32] * 5])
def test_a_file_that_holds_no_keys_is_one_line(tmp_path: Path, lines: list[str]) -> None:
    path = write(tmp_path / "keys", *lines)
    with pytest.raises(StartError, match=r"resume_keys is .*must (be|have)") as caught:
        check_access(AccessConfig(resume_keys=path))
    assert "\n" not in str(caught.value)
    assert ("line 2: " in str(caught.value)) == (len(lines) == 1)  # the file begins with a comment
    assert not any(line in str(caught.value) for line in lines if line != "key")
