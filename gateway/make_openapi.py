"""Write the gateway's OpenAPI from the protos and their comments.

python gateway/make_openapi.py            write gateway/exalign_gateway/openapi.json
python gateway/make_openapi.py --check    write nothing; exit with 1 where it would change
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from importlib import resources
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2
from grpc_tools import protoc  # type: ignore[import-untyped]  # ships no types

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "gateway" / "exalign_gateway" / "openapi.json"

Field = descriptor_pb2.FieldDescriptorProto

_NUMBERS = {"anyOf": [{"type": "number"}, {"enum": ["NaN", "Infinity", "-Infinity"]}]}
_WHOLE = {"type": "integer", "format": "int32", "minimum": -(2**31), "maximum": 2**31 - 1}
_NATURAL = {"type": "integer", "format": "uint32", "minimum": 0, "maximum": 2**32 - 1}
_LONG = {"type": ["string", "integer"], "format": "int64", "pattern": "^-?[0-9]+$"}
_SCALARS: dict[int, dict[str, Any]] = {
    Field.TYPE_DOUBLE: _NUMBERS, Field.TYPE_FLOAT: _NUMBERS, Field.TYPE_BOOL: {"type": "boolean"},
    Field.TYPE_STRING: {"type": "string"}, Field.TYPE_BYTES: {"type": "string", "format": "byte"},
    **dict.fromkeys((Field.TYPE_INT32, Field.TYPE_SINT32, Field.TYPE_SFIXED32), _WHOLE),
    **dict.fromkeys((Field.TYPE_UINT32, Field.TYPE_FIXED32), _NATURAL),
    **dict.fromkeys((Field.TYPE_INT64, Field.TYPE_SINT64, Field.TYPE_SFIXED64), _LONG),
    **dict.fromkeys((Field.TYPE_UINT64, Field.TYPE_FIXED64), _LONG),
}  # fmt: skip

#: Messages whose JSON is no object.
_WELL_KNOWN = {
    ".google.protobuf.Duration": {"type": "string", "pattern": r"^-?[0-9]{1,12}(\.[0-9]{1,9})?s$"},
    ".google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
}

_ERROR = {
    "type": "object",
    "description": "A failure, in Connect's form.",
    "required": ["code", "message"],
    "properties": {
        "code": {"type": "string", "description": "gRPC's code, in small letters."},
        "message": {"type": "string"},
        "details": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["type", "value"],
                "properties": {
                    "type": {"type": "string", "description": "Full name of the message."},
                    "value": {"type": "string", "description": "Its bytes, base64 without padding."},
                    "debug": {"type": "object", "description": "The same as JSON."},
                },
            },
        },
    },
}

#: HTTP status -> when. 500 is a fault of the server's, and no answer of its own accord.
_FAILURES = {
    400: "invalid_argument, with every wrong field in google.rpc.BadRequest; or failed_precondition",
    401: "unauthenticated: a token is missing or not accepted",
    403: "permission_denied: the token has not the scope",
    404: "not_found: the posterior id is not (or no longer) known here",
    408: "the body did not arrive in time",
    413: "the body is too large",
    415: "the body is neither application/json nor application/proto",
    429: "resource_exhausted: busy, or a message above a limit; Retry-After says when to try again",
    500: "internal: a fault of the server's",
    501: "unimplemented: the server is older",
    503: "unavailable: the server is starting or stopping, or cannot be reached",
    504: "deadline_exceeded: not answered in time",
}


def descriptors() -> descriptor_pb2.FileDescriptorSet:
    """All files of the contract, with their comments.

    Raises:
        SystemExit: protoc refused.
    """
    protos = ROOT / "protos"
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "set.pb")
        arguments = ["protoc", f"--proto_path={protos}", f"--proto_path={resources.files('grpc_tools') / '_proto'}"]
        arguments += ["--include_source_info", "--include_imports", f"--descriptor_set_out={out}"]
        if protoc.main([*arguments, "exalign/v1/service.proto"]):
            raise SystemExit("protoc refused")
        return descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes())


class Schemas:
    """Schemas of messages and enumerations, by full name."""

    def __init__(self, files: descriptor_pb2.FileDescriptorSet) -> None:
        self.found: dict[str, Any] = {}
        for file in files.file:
            if file.package == "exalign.v1":
                comments = {tuple(one.path): one.leading_comments for one in file.source_code_info.location}
                for place, message in enumerate(file.message_type):
                    self._message(f".{file.package}.{message.name}", message, (4, place), comments)
                for place, enum in enumerate(file.enum_type):
                    self._enum(f".{file.package}.{enum.name}", enum, (5, place), comments)

    def _message(
        self,
        name: str,
        message: descriptor_pb2.DescriptorProto,
        path: tuple[int, ...],
        comments: dict[tuple[int, ...], str],
    ) -> None:
        properties = {}
        for place, field in enumerate(message.field):
            schema = _field(field)
            properties[field.json_name] = schema | _described(comments.get((*path, 2, place), ""))
        self.found[name[1:]] = {
            "type": "object",
            **_described(comments.get(path, "")),
            "properties": properties,
            "additionalProperties": False,
        }
        for place, nested in enumerate(message.nested_type):
            self._message(f"{name}.{nested.name}", nested, (*path, 3, place), comments)
        for place, enum in enumerate(message.enum_type):
            self._enum(f"{name}.{enum.name}", enum, (*path, 4, place), comments)

    def _enum(
        self,
        name: str,
        enum: descriptor_pb2.EnumDescriptorProto,
        path: tuple[int, ...],
        comments: dict[tuple[int, ...], str],
    ) -> None:
        values = [value.name for value in enum.value]
        self.found[name[1:]] = {"type": "string", "enum": values, **_described(comments.get(path, ""))}


def _described(comment: str) -> dict[str, str]:
    text = " ".join(comment.split())
    return {"description": text} if text else {}


def _field(field: Field) -> dict[str, Any]:
    if field.type in (Field.TYPE_MESSAGE, Field.TYPE_ENUM):
        one = _WELL_KNOWN.get(field.type_name) or {"$ref": f"#/components/schemas/{field.type_name[1:]}"}
    else:
        one = _SCALARS[field.type]
    return {"type": "array", "items": one} if field.label == Field.LABEL_REPEATED else dict(one)


def openapi() -> dict[str, Any]:
    """The whole document."""
    files = descriptors()
    (file,) = (one for one in files.file if one.name == "exalign/v1/service.proto")
    comments = {tuple(one.path): one.leading_comments for one in file.source_code_info.location}
    failures = {
        str(status): {
            "description": text,
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
        }
        for status, text in _FAILURES.items()
    }
    paths: dict[str, Any] = {}
    for place, service in enumerate(file.service):
        for number, method in enumerate(service.method):
            if method.client_streaming or method.server_streaming:
                continue
            paths[f"/{file.package}.{service.name}/{method.name}"] = {
                "post": {
                    "operationId": method.name,
                    **_described(comments.get((6, place, 2, number), "")),
                    "requestBody": {"required": True, "content": _content(method.input_type)},
                    "responses": {
                        "200": {"description": "The answer.", "content": _content(method.output_type)},
                        **failures,
                    },
                    "security": [{}, {"token": []}],
                }
            }
    return {
        "openapi": "3.1.0",
        "info": {"title": "Exalign", "version": "v1", "description": "The unary calls of exalign.v1, as JSON."},
        "paths": paths,
        "components": {
            "schemas": {**dict(sorted(Schemas(files).found.items())), "Error": _ERROR},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _content(name: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{name[1:]}"}}}


def main() -> int:
    """Run the command; returns its exit code."""
    parser = argparse.ArgumentParser(description="Write the gateway's OpenAPI.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where it would change")
    check = parser.parse_args().check
    text = json.dumps(openapi(), indent=1, ensure_ascii=False) + "\n"
    same = OUT.is_file() and OUT.read_text("utf-8") == text
    if not same and not check:
        OUT.write_text(text, "utf-8")
        print(f"wrote {OUT.relative_to(ROOT)}")
    return 1 if check and not same else 0


if __name__ == "__main__":
    sys.exit(main())
