"""Where settings come from, and what becomes of wrong ones."""

from __future__ import annotations

import re
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from exalign_service import ServerConfig
from exalign_service.cli import main
from exalign_service.config.ports import address_of
from exalign_service.config.schema import AccessConfig, BatchingConfig, ConfigError, SessionsConfig, StoreConfig
from exalign_service.config.sources import SCHEMA


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "server.toml"
    file.write_text(text)
    return file


def test_flags_win_over_environment_over_file_over_defaults(tmp_path: Path) -> None:
    file = written(tmp_path, "[batching]\nmax_batch = 3\nnetwork_calls = 3\nthreads = 3\n")
    environ = {"EXALIGN_MAX_BATCH": "4", "EXALIGN_NETWORK_CALLS": "4"}
    loaded = SCHEMA.load({"max_batch": "5", "network_calls": None}, environ, file)
    batching = loaded.config.batching
    assert (batching.max_batch, batching.network_calls, batching.threads, batching.queue) == (5, 4, 3, 128)
    assert [loaded.origins[name] for name in ("max_batch", "network_calls", "threads", "queue")] == [
        "flag --max-batch",
        "environment EXALIGN_NETWORK_CALLS",
        f"file {file}",
        "default",
    ]


def test_without_anything_the_defaults_hold() -> None:
    assert SCHEMA.load({}, {}).config == ServerConfig()


def test_every_setting_can_be_set_everywhere(tmp_path: Path) -> None:
    values = {
        "address": "unix:/tmp/x.sock",
        "metrics_address": "[::1]:0",
        "log_level": "debug",
        "shutdown_grace": "1.5",
        "bundle": "/b",
        "runtime": "onnxruntime",
        "precision": "fp32",
        "sums": "device",
        "detector": "yunet",
        "yunet_model": "/y.onnx",
        "presence_threshold": "0.25",
        "max_deadline": "2.5",
        "caller_share": "0.25",
        "decode_processes": "3",
        "insecure": "false",
        "traces_endpoint": "http://127.0.0.1:4317",
        "traces_ratio": "0.5",
        "record_sessions": "/recordings",
        "record": "all",
        "store": "rediss://exalign@redis.example:6380/2",
        "durability": "after",
        "checkpoint_interval": "0.5",
        "store_timeout": "0.5",
    }
    flags = {s.name: values.get(s.name, "100") for s in SCHEMA.settings()}
    flags |= {
        "max_message_bytes": "2000",
        "max_encoded_bytes": "2000",
        "max_request_bytes": "4000",
        "max_stored_bytes": "2000",
    }
    by_flag = SCHEMA.load(flags, {})
    by_environment = SCHEMA.load({}, {f"EXALIGN_{name.upper()}": text for name, text in flags.items()})
    by_file = SCHEMA.load({}, {}, written(tmp_path, by_flag.to_toml()))
    assert by_flag.config == by_environment.config == by_file.config
    assert by_flag.config.model.bundle == Path("/b")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_batch", "0"),
        ("max_batch", "eight"),
        ("max_batch", "8.5"),
        ("max_deadline", "nan"),
        ("max_deadline", "inf"),
        ("caller_share", "0.0"),
        ("caller_share", "1.5"),
        ("max_posterior_bytes", "0"),
        ("max_unacked_bytes", "0"),
        ("max_message_rate", "0.0"),
        ("message_burst", "0"),
        ("max_decode_seconds", "0.0"),
        ("max_decoded_bytes", "0"),
        ("decode_processes", "65"),
        ("shutdown_grace", "-1.0"),
        ("stuck_after", "0.0"),
        ("restart_after", "0.0"),
        ("processes", "0"),
        ("max_runtime_faults", "0"),
        ("max_live_bundles", "1"),
        ("presence_threshold", "1.01"),
        ("runtime", "tpu"),
        ("detector", "haar"),
        ("model_name", "a/b"),
        ("log_level", "loud"),
        ("address", "localhost"),
        ("address", "host:65536"),
        ("address", "unix:relative"),
        ("metrics_address", "unix:/x"),
        ("traces_endpoint", "127.0.0.1:4317"),
        ("traces_endpoint", "http://user:secret@127.0.0.1:4317"),
        ("traces_ratio", "1.5"),
        ("record", "pictures"),
        ("record_max_bytes", "0"),
        ("store", "127.0.0.1:6379"),
        ("store", "redis://me:secret@127.0.0.1:6379"),
        ("store_prefix", "a:b"),
        ("durability", "maybe"),
        ("checkpoint_frames", "0"),
        ("store_timeout", "0.0"),
        ("max_stored_bytes", "0"),
    ],
)
def test_a_wrong_value_is_named_with_its_origin_and_limit(name: str, value: str) -> None:
    for flags, environ, origin in (
        ({name: value}, {}, f"flag --{name.replace('_', '-')}"),
        ({}, {f"EXALIGN_{name.upper()}": value}, f"environment EXALIGN_{name.upper()}"),
    ):
        with pytest.raises(ConfigError) as caught:
            SCHEMA.load(flags, environ)
        (line,) = str(caught.value).splitlines()
        assert re.fullmatch(rf"{name} is '?{re.escape(value)}'?, must be .+ \(from {origin}\)", line), line


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[batching]\nmax_batch = '8'", "max_batch is '8', must be a whole number, 1 to 256"),
        ("[batching]\nmax_batch = true", "max_batch is True, must be a whole number"),
        ("[batching]\nmax_batsh = 8", "[batching] max_batsh is not a setting"),
        ("max_batch = 8", "max_batch is not a setting"),
        ("batching = 8", "batching is 8, must be a section"),
        ("[batching", "must be TOML"),
        ("address = 5", "address is 5, must be HOST:PORT"),
    ],
)
def test_a_wrong_file_is_named(tmp_path: Path, text: str, says: str) -> None:
    file = written(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        SCHEMA.load({}, {}, file)
    assert says in str(caught.value)
    assert str(file) in str(caught.value)


def test_a_setting_by_its_former_name_is_refused_with_its_present_one(tmp_path: Path) -> None:
    for flags, environ, file, says in (
        ({"workers": "4"}, {}, None, "--workers is called --network-calls now"),
        ({}, {"EXALIGN_WORKERS": "4"}, None, "EXALIGN_WORKERS is called EXALIGN_NETWORK_CALLS now"),
        ({}, {}, written(tmp_path, "[batching]\nworkers = 4\n"), "workers is called network_calls now"),
    ):
        with pytest.raises(ConfigError) as caught:
            SCHEMA.load(flags, environ, file)
        (line,) = str(caught.value).splitlines()
        assert line.startswith(f"{says} (from ")


def test_a_flag_by_its_former_name_ends_with_2_and_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--workers", "4"]) == 2
    assert capsys.readouterr().err == "exalign-server: --workers is called --network-calls now (from command line)\n"


def test_ports_of_several_processes_must_fit() -> None:
    with pytest.raises(ConfigError, match="address has port 65535, with 2 processes must be at most 65534"):
        ServerConfig(address="127.0.0.1:65535", processes=2)
    with pytest.raises(ConfigError, match="have ports 9463 and 9464, must be 2 apart or more"):
        ServerConfig(address="127.0.0.1:9463", processes=2)
    ServerConfig(address="127.0.0.1:9463", processes=1)
    ServerConfig(address="127.0.0.1:9462", processes=2)
    ServerConfig(address="127.0.0.1:0", metrics_address="127.0.0.1:0", processes=256)
    ServerConfig(address="unix:/s", processes=256)


def test_each_process_has_the_next_port_up() -> None:
    addresses = ("127.0.0.1:50051", "[::1]:9464", "127.0.0.1:0", "unix:/tmp/s")
    assert [address_of(address, 0) for address in addresses] == list(addresses)
    assert [address_of(address, 2) for address in addresses] == [
        "127.0.0.1:50053",
        "[::1]:9466",
        "127.0.0.1:0",
        "unix:/tmp/s.2",
    ]


def test_every_wrong_setting_is_named_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        SCHEMA.load({"max_batch": "0", "runtime": "tpu"}, {"EXALIGN_QUEUE": "x"})
    assert [line.split()[0] for line in str(caught.value).splitlines()] == ["runtime", "max_batch", "queue"]


def test_settings_of_a_store_need_it_and_it_needs_keys_that_all_servers_have(tmp_path: Path) -> None:
    for wrong, text in (
        ({"store_password": tmp_path}, "must not be without store"),
        ({"store": "redis://a", "store_ca": tmp_path}, "store_ca is set, must not be without rediss://"),
        ({"store": "rediss://a", "store_cert": tmp_path}, "store_cert and store_key: must be both set, or none"),
        ({"durability": "before", "checkpoint_frames": 2}, "checkpoint_frames is 2, must be 1 with durability before"),
    ):
        with pytest.raises(ConfigError, match=re.escape(text)):
            StoreConfig(**wrong)
    with pytest.raises(ConfigError, match="store is set, must not be without resume_keys"):
        ServerConfig(stores=StoreConfig(store="unix:/run/redis.sock"))
    ServerConfig(stores=StoreConfig(store="unix:/run/redis.sock"), access=AccessConfig(resume_keys=tmp_path))


def test_settings_that_do_not_fit_together_are_named_with_both_origins() -> None:
    with pytest.raises(ConfigError, match="queue is 9, must be at least max_faces = 64") as caught:
        SCHEMA.load({"queue": "9"}, {})
    assert "(from queue: flag --queue; max_faces: default)" in str(caught.value)
    with pytest.raises(ConfigError, match="must not be without yunet_model"):
        SCHEMA.load({"detector": "yunet"}, {})
    with pytest.raises(ConfigError, match="max_message_bytes is 2000, must be at least max_encoded_bytes"):
        SCHEMA.load({"max_message_bytes": "2000"}, {})


def test_a_config_made_by_hand_is_checked_too() -> None:
    with pytest.raises(ConfigError, match="max_batch is 0, must be 1 to 256"):
        BatchingConfig(max_batch=0)


def test_a_config_is_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        ServerConfig().address = "elsewhere:1"  # type: ignore[misc]


def test_print_config_prints_what_can_be_read_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXALIGN_MAX_FACES", "7")
    assert main(["serve", "--print-config", "--queue", "99"]) == 0
    text = capsys.readouterr().out
    assert re.search(r"^queue = 99  # flag --queue: ", text, re.MULTILINE)
    assert re.search(r"^max_faces = 7  # environment EXALIGN_MAX_FACES: ", text, re.MULTILINE)
    assert re.search(r"^network_calls = 2  # default: ", text, re.MULTILINE)
    monkeypatch.delenv("EXALIGN_MAX_FACES")
    again = SCHEMA.load({}, {}, written(tmp_path, text)).config
    assert (again.batching.queue, again.limits.max_faces) == (99, 7)
    assert again == SCHEMA.load({"queue": "99", "max_faces": "7"}, {}).config


def test_wrong_settings_end_with_2_and_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--max-batch", "0"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "exalign-server: max_batch is 0, must be a whole number, 1 to 256 (from flag --max-batch)\n"


def test_a_missing_file_ends_with_2_and_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--config", str(tmp_path / "no.toml")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("variable", "nearest"),
    [
        ("EXALIGN_MAX_BACTH", "EXALIGN_MAX_BATCH"),
        ("EXALIGN_MAXBATCH", "EXALIGN_MAX_BATCH"),
        ("EXALIGN_THREAD", "EXALIGN_THREADS"),
        ("EXALIGN_METRIC_ADDRESS", "EXALIGN_METRICS_ADDRESS"),
        ("EXALIGN_max_batch", "EXALIGN_MAX_BATCH"),
    ],
)
def test_a_misspelt_variable_is_refused_with_the_nearest_known_one(variable: str, nearest: str) -> None:
    with pytest.raises(ConfigError) as caught:
        SCHEMA.load({}, {variable: "4"})
    assert str(caught.value) == f"{variable} is not a setting; the nearest is {nearest} (from environment)"


def test_a_variable_like_none_of_ours_is_named_and_left_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EXALIGN_IMAGE_TAG", "7")
    assert main(["serve", "--print-config"]) == 0
    line = capsys.readouterr().err
    assert line.startswith(
        "exalign-server: EXALIGN_IMAGE_TAG is not a setting and is left alone; the nearest is EXALIGN_"
    )


def test_what_a_platform_sets_for_a_service_of_this_name_is_nobodys_mistake() -> None:
    names = ("SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_GRPC", "PORT", "PORT_50051_TCP", "PORT_50051_TCP_ADDR")
    environ = {f"EXALIGN_{name}": "1" for name in names}
    assert SCHEMA.unknown_variables(environ) == []
    SCHEMA.load({}, environ)


def test_the_help_has_a_group_a_section_and_says_what_a_value_is(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["serve", "--help"])
    shown = capsys.readouterr().out
    for section in ("model", "batching", "limits", "sessions", "watching"):
        assert f"\n{section} settings:\n" in shown
    for flag in (
        "--address HOST:PORT",
        "--bundle DIR",
        "--yunet-model FILE",
        "--max-batch N",
        "--max-deadline SECONDS",
        "--presence-threshold X",
        "--log-level {debug,info,warning,error}",
    ):
        assert f"  {flag}" in shown
    assert "VALUE" not in shown


@pytest.mark.parametrize(("sessions", "share", "each"), [(128, 0.5, 64), (3, 0.5, 1), (1, 0.01, 1), (0, 1.0, 0)])
def test_a_callers_share_of_the_sessions_is_a_whole_number_and_never_none(
    sessions: int, share: float, each: int
) -> None:
    assert SessionsConfig(max_sessions=sessions, caller_share=share).max_sessions_per_caller == each
