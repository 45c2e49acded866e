"""Tokens that somebody else signs: keys, claims, and what a token may not say about itself."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from typing import Any

import grpc
import pytest

jwt = pytest.importorskip("jwt", reason="needs PyJWT and cryptography (extra 'jwt')")

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from exalign.v1 import service_pb2
from exalign_service.access import gate
from exalign_service.access.holder import BadTokenError
from exalign_service.access.jwt_tokens import JwtTokens, read_jwks
from exalign_service.access.start_checks import check_access
from exalign_service.config.access import AccessConfig
from exalign_service.config.schema import ConfigError
from exalign_service.config.start_checks import StartError
from service_fakes import GOOD_BOX, config, request, running

AUDIENCE, ISSUER = "exalign", "https://issuer.example"
KEYS: dict[str, Any] = {
    "RS256": rsa.generate_private_key(65537, 2048),
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}


def jwk(algorithm: str, key: Any = None, **more: str) -> dict[str, Any]:
    """A public key as a JWKS holds it, named after its algorithm."""
    kinds: dict[str, Any] = {
        "RS256": jwt.algorithms.RSAAlgorithm,
        "ES256": jwt.algorithms.ECAlgorithm,
        "EdDSA": jwt.algorithms.OKPAlgorithm,
    }
    public = key or KEYS[algorithm].public_key()
    return {**json.loads(kinds[algorithm].to_jwk(public)), "kid": algorithm, "alg": algorithm, **more}


def written(folder: Path, *keys: dict[str, Any]) -> Path:
    path, new = folder / "jwks.json", folder / "new"
    new.write_text(json.dumps({"keys": list(keys)}))
    return new.rename(path)


def signed(algorithm: str = "ES256", key: Any = None, header: dict[str, Any] | None = None, **claims: Any) -> str:
    """A token that is good, but for what is changed; a claim that is None is left out."""
    said = {"sub": "alice", "aud": AUDIENCE, "iss": ISSUER, "exp": time.time() + 60, "scope": "predict", **claims}
    kept = {name: value for name, value in said.items() if value is not None}
    whole = {"kid": algorithm, **(header or {})}
    named = {name: value for name, value in whole.items() if value is not None}
    token: str = jwt.encode(kept, key or KEYS[algorithm], algorithm, headers=named)
    return token


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> JwtTokens:
    return read_jwks(written(tmp_path_factory.mktemp("keys"), *map(jwk, KEYS)), AUDIENCE, ISSUER)


def reason(tokens: JwtTokens, token: str) -> str:
    with pytest.raises(BadTokenError) as caught:
        tokens.holder(token)
    return caught.value.reason


@pytest.mark.parametrize("algorithm", KEYS)
def test_a_token_of_a_known_key_names_its_holder(tokens: JwtTokens, algorithm: str) -> None:
    token = signed(algorithm, scope="predict email track", aud=["other", AUDIENCE])
    for _ in range(2):  # verified, and remembered
        holder = tokens.holder(token)
        assert (holder.name, holder.scopes) == ("jwt:alice", {"predict", "track"})


@pytest.mark.parametrize(
    ("why", "changes"),
    [
        ("expired", {"exp": 1_000_000_000}),
        ("not_yet_valid", {"nbf": 4_000_000_000}),
        ("claims", {"exp": None}),
        ("claims", {"sub": None}),
        ("claims", {"sub": ""}),
        ("claims", {"sub": "a\nb"}),
        ("claims", {"sub": "a" * 300}),
        ("claims", {"aud": None}),
        ("claims", {"aud": "another-service"}),
        ("claims", {"iss": "https://another.example"}),
        ("claims", {"iss": None}),
        ("claims", {"scope": ["predict"]}),
        ("unknown", {"header": {"kid": "another"}}),
        ("unknown", {"header": {"kid": None}}),
        ("forged", {"key": ec.generate_private_key(ec.SECP256R1())}),
        ("forged", {"header": {"kid": "RS256"}}),
    ],
)
def test_a_token_that_is_not_good_is_refused_for_its_reason(
    tokens: JwtTokens, why: str, changes: dict[str, Any]
) -> None:
    assert reason(tokens, signed(**changes)) == why


def test_a_token_may_not_say_how_it_is_to_be_verified(tokens: JwtTokens) -> None:
    claims = {"sub": "alice", "aud": AUDIENCE, "iss": ISSUER, "exp": time.time() + 60, "scope": "admin"}
    nothing = jwt.encode(claims, None, "none", headers={"kid": "ES256"})
    # The public key as a shared secret, which everybody has.
    secret = jwt.encode(claims, "x" * 64, "HS256", headers={"kid": "RS256"})
    assert reason(tokens, nothing) in ("forged", "malformed")
    assert reason(tokens, secret) == "forged"
    whole = signed()
    deep = base64.urlsafe_b64encode(b"[" * 6000).decode()
    for bad in (whole[:-4], whole.replace(".", ""), "..", "a.b.c", "é.é.é", f"{deep}.{deep}.{deep}"):
        assert reason(tokens, bad) in ("malformed", "forged")


def test_a_remembered_token_expires_too(tmp_path: Path) -> None:
    now = time.time()
    keys = jwt.PyJWKSet.from_dict({"keys": [jwk("ES256")]}).keys
    tokens = JwtTokens({keys[0].key_id: keys[0]}, AUDIENCE, None, lambda: now)
    token = signed(exp=now + 60)
    assert tokens.holder(token)
    now += 80
    assert reason(tokens, token) == "expired"


def test_a_key_without_a_name_serves_where_it_is_the_only_one(tmp_path: Path) -> None:
    key = jwk("ES256")
    del key["kid"]
    tokens = read_jwks(written(tmp_path, key), AUDIENCE, None)
    assert tokens.holder(signed(header={"kid": None})).name == "jwt:alice"


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ([], "must be a JSON Web Key Set"),
        ([{"kty": "oct", "k": "c2VjcmV0", "alg": "HS256"}], "has a key for HS256"),
        ([jwk("ES256"), jwk("ES256")], "two keys with one id"),
        ([jwk("ES256", KEYS["ES256"])], "has a private key"),
        ([jwk("ES256", use="enc")], "must have a key"),
    ],
)
def test_a_file_that_is_no_set_of_public_keys_is_one_line(
    tmp_path: Path, keys: list[dict[str, Any]], text: str
) -> None:
    path = written(tmp_path, *keys)
    with pytest.raises(StartError, match=text) as caught:
        check_access(AccessConfig(token_jwks=path, token_audience=AUDIENCE))
    assert str(caught.value).startswith(f"token_jwks is {str(path)!r}")
    assert "\n" not in str(caught.value)


def test_keys_need_an_audience() -> None:
    with pytest.raises(ConfigError, match="token_jwks is 'x', must not be without token_audience"):
        AccessConfig(token_jwks=Path("x"))


async def test_calls_are_answered_to_holders_and_keys_change_under_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "_LOOK", 0.0)
    settings = config(token_jwks=written(tmp_path, jwk("ES256")), token_audience=AUDIENCE)
    async with running(tmp_path, settings) as live:

        async def code(token: str) -> Any:
            metadata = (("authorization", f"Bearer {token}"),)
            return await live.stub.PredictLandmarks(request(GOOD_BOX), metadata=metadata).code()

        old, new = signed("ES256"), signed("EdDSA")
        assert await code(old) is grpc.StatusCode.OK
        assert await code(new) is grpc.StatusCode.UNAUTHENTICATED
        written(tmp_path, jwk("EdDSA"))
        assert await code(new) is grpc.StatusCode.OK
        assert await code(old) is grpc.StatusCode.UNAUTHENTICATED  # also where it was remembered
        assert await code(signed("EdDSA", scope="track")) is grpc.StatusCode.PERMISSION_DENIED
        assert await live.stub.GetModel(service_pb2.GetModelRequest(), metadata=(("authorization", f"bearer {new}"),))
