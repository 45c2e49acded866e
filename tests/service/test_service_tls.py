"""TLS: who may listen without it, certificates that change while calls run, callers' own certificates."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest

from access_fakes import Authority
from exalign.v1 import service_pb2
from exalign_service.access.certificates import read_certificates
from exalign_service.access.start_checks import check_access
from exalign_service.config.access import AccessConfig
from exalign_service.config.schema import ConfigError
from exalign_service.config.start_checks import StartError, check_addresses, is_loopback
from service_fakes import GOOD_BOX, Running, another_caller, config, request, running

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


def tls(folder: Path, authority: Authority, **more: Any) -> dict[str, Any]:
    cert, key = authority.issue().write(folder)
    return {"tls_cert": cert, "tls_key": key, **more}


async def refused(live: Running) -> str:
    """What a caller hears that cannot connect."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await live.stub.GetModel(service_pb2.GetModelRequest(), timeout=20)
    assert caught.value.code() is UNAVAILABLE
    return str(caught.value.details())


@pytest.mark.parametrize("address", ["127.0.0.1:1", "[::1]:1", "localhost:1", "127.8.0.1:1", "unix:/tmp/x"])
def test_this_machine_is_spoken_to_without_tls(address: str) -> None:
    assert is_loopback(address)


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0", "192.0.2.1:0", "[2001:db8::1]:0"])
def test_an_address_beyond_this_machine_needs_tls_or_a_word(address: str) -> None:
    with pytest.raises(StartError, match="must be on the loopback interface") as caught:
        check_addresses(config(address=address))
    for named in (repr(address), "tls_cert", "tls_key", "insecure"):
        assert named in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_a_server_beyond_this_machine_does_not_start_by_itself(tmp_path: Path, authority: Authority) -> None:
    with pytest.raises(StartError, match="insecure"):
        async with running(tmp_path, config(address="0.0.0.0:0")):
            pass
    check_addresses(config(address="0.0.0.0:0", insecure=True))
    check_addresses(config(address="0.0.0.0:0", **tls(tmp_path, authority)))


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"tls_cert": Path("c")}, "tls_cert is 'c', must not be without tls_key"),
        ({"tls_key": Path("k")}, "tls_key is 'k', must not be without tls_cert"),
        ({"tls_client_ca": Path("a")}, "tls_client_ca is 'a', must not be without tls_cert"),
        ({"tls_cert": Path("c"), "tls_key": Path("k"), "insecure": True}, "insecure is True, must not be with"),
    ],
)
def test_settings_that_stand_alone_are_refused(given: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError) as caught:
        AccessConfig(**given)
    assert str(caught.value).startswith(named)


def wrong_files(folder: Path, authority: Authority) -> Iterator[tuple[dict[str, Any], str]]:
    cert, key = authority.issue().write(folder, "good")
    other = authority.issue().write(folder, "other")[1]
    old = authority.issue(ends=-timedelta(hours=1)).write(folder, "old")
    nothing = folder / "nothing"
    nothing.write_bytes(b"no certificate")
    yield {"tls_cert": folder / "absent", "tls_key": key}, "tls_cert is .*absent', cannot be read: No such file"
    yield {"tls_cert": cert, "tls_key": folder / "absent"}, "tls_key is .*absent', cannot be read"
    yield {"tls_cert": cert, "tls_key": other}, "its own key, PEM, without a password: key values mismatch"
    yield {"tls_cert": nothing, "tls_key": key}, "must be a certificate and its own key"
    yield {"tls_cert": cert, "tls_key": nothing}, "must be a certificate and its own key"
    yield {"tls_cert": old[0], "tls_key": old[1]}, "tls_cert is .*old.crt', has expired at 20"
    yield {"tls_cert": cert, "tls_key": key, "tls_client_ca": nothing}, "tls_client_ca is .*must be certificates"


def test_files_that_cannot_be_used_are_one_line(tmp_path: Path, authority: Authority) -> None:
    for given, text in wrong_files(tmp_path, authority):
        with pytest.raises(StartError, match=text) as caught:
            check_access(AccessConfig(**given))
        assert "\n" not in str(caught.value)


def test_the_end_of_a_certificate_is_read_from_it(tmp_path: Path, authority: Authority) -> None:
    from cryptography import x509

    for ends in (timedelta(days=3), timedelta(days=40_000)):  # in two years' digits, and in four
        cert, key = authority.issue(ends=ends).write(tmp_path)
        expected = x509.load_pem_x509_certificate(cert.read_bytes()).not_valid_after_utc.timestamp()
        assert read_certificates(AccessConfig(tls_cert=cert, tls_key=key)).expires == expected


async def test_calls_and_videos_are_answered_over_tls(tmp_path: Path, authority: Authority) -> None:
    async with running(tmp_path, config(**tls(tmp_path, authority)), credentials=authority.trusted()) as live:
        assert len((await live.stub.PredictLandmarks(request(GOOD_BOX))).faces) == 1
        assert live.sample("exalign_certificate_expires_seconds") > 0
        async with another_caller(live) as plain:
            await refused(plain)
        async with another_caller(live, Authority("another").trusted()) as distrustful:
            await refused(distrustful)


async def test_a_certificate_names_its_caller_and_nobody_connects_without(
    tmp_path: Path, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="exalign_service")
    callers = Authority("callers")
    settings = config(**tls(tmp_path, authority, tls_client_ca=callers.write(tmp_path)))
    known = callers.issue("alice", uri="spiffe://example/alice")
    async with running(tmp_path, settings, credentials=authority.trusted(known)) as live:
        assert len((await live.stub.PredictLandmarks(request(GOOD_BOX))).faces) == 1
        asked = request(GOOD_BOX)
        (face,) = (await live.stub.PredictLandmarks(asked)).faces
        same = service_pb2.EstimatePoseRequest(posterior_id=face.posterior_id)
        async with another_caller(live, authority.trusted(known)) as again:
            assert (await again.stub.EstimatePose(same)).faces
        async with another_caller(live, authority.trusted(callers.issue("bob", uri="spiffe://example/bob"))) as bob:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await bob.stub.EstimatePose(same)
            assert caught.value.code() is grpc.StatusCode.NOT_FOUND
        lines = [r.fields for r in caplog.records if r.getMessage() == "call"]  # type: ignore[attr-defined]
        whom = {(line["caller"], line["code"]) for line in lines}
        assert whom == {
            ("certificate:spiffe://example/alice", "OK"),
            ("certificate:spiffe://example/bob", "NotFound"),
        }
        for stranger in (None, Authority("another").issue("mallory")):
            async with another_caller(live, authority.trusted(stranger)) as it:
                await refused(it)


async def test_a_new_certificate_is_shown_to_new_connections_and_no_call_fails(tmp_path: Path) -> None:
    first, second = Authority("first"), Authority("second")
    async with running(tmp_path, config(**tls(tmp_path, first)), credentials=first.trusted()) as live:
        stop = asyncio.Event()
        await live.stub.PredictLandmarks(request(GOOD_BOX))  # connected, with the certificate of now

        async def calling() -> int:
            """Calls on the connection that is there, until told to stop; each must be answered."""
            count = 0
            while not stop.is_set():
                await live.stub.PredictLandmarks(request(GOOD_BOX))
                count += 1
            return count

        busy = [asyncio.create_task(calling()) for _ in range(4)]
        for authority in (second, first, second):
            ends = live.sample("exalign_certificate_expires_seconds")
            authority.issue(ends=timedelta(hours=2)).write(tmp_path)
            for _ in range(3):
                async with another_caller(live, authority.trusted()) as new:
                    assert (await new.stub.PredictLandmarks(request(GOOD_BOX))).faces
            assert live.sample("exalign_certificate_expires_seconds") >= ends
        async with another_caller(live, first.trusted()) as old:
            await refused(old)
        stop.set()
        assert all(count > 0 for count in await asyncio.gather(*busy))
        assert live.sample("exalign_reloads_total", what="certificates", result="used") == 3


async def test_wrong_files_leave_the_certificate_that_is_in_use(tmp_path: Path, authority: Authority) -> None:
    async with running(tmp_path, config(**tls(tmp_path, authority)), credentials=authority.trusted()) as live:
        mine = authority.issue()
        (tmp_path / "server.crt").write_bytes(mine.certificate)  # its key has not come yet
        for _ in range(2):
            async with another_caller(live, authority.trusted()) as it:
                assert (await it.stub.PredictLandmarks(request(GOOD_BOX))).faces
        assert live.sample("exalign_reloads_total", what="certificates", result="refused") == 1
        (tmp_path / "server.key").write_bytes(mine.key)
        async with another_caller(live, authority.trusted()) as it:
            assert (await it.stub.PredictLandmarks(request(GOOD_BOX))).faces
        assert live.sample("exalign_reloads_total", what="certificates", result="used") == 1
        (tmp_path / "server.key").unlink()
        async with another_caller(live, authority.trusted()) as it:
            assert (await it.stub.PredictLandmarks(request(GOOD_BOX))).faces
