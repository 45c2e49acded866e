"""The reference of the protos, as Markdown, from their descriptors and comments."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from google.protobuf import descriptor_pb2
from grpc_tools import protoc

ROOT = Path(__file__).parents[1]
PROTOS = ROOT / "protos"

_Field = descriptor_pb2.FieldDescriptorProto
#: Numbers of descriptor.proto, as paths of comments are made of.
_MESSAGE, _ENUM, _SERVICE, _FIELD, _NESTED, _NESTED_ENUM, _VALUE, _METHOD = 4, 5, 6, 2, 3, 4, 2, 2


def descriptors() -> descriptor_pb2.FileDescriptorSet:
    """Of all files of exalign.v1, with their comments."""
    files = sorted((PROTOS / "exalign" / "v1").glob("*.proto"))
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "set"
        code = protoc.main(
            [
                "",
                f"-I{PROTOS}",
                f"-I{_included()}",
                "--include_source_info",
                f"--descriptor_set_out={made}",
                *map(str, files),
            ]
        )
        if code != 0:
            raise RuntimeError(f"protoc ended with {code}")
        return descriptor_pb2.FileDescriptorSet.FromString(made.read_bytes())


def _included() -> Path:
    import grpc_tools

    return Path(grpc_tools.__file__).parent / "_proto"


class _Comments:
    def __init__(self, file: descriptor_pb2.FileDescriptorProto) -> None:
        self._by_path = {tuple(at.path): at.leading_comments for at in file.source_code_info.location}

    def at(self, *path: int) -> str:
        """As written, without the space that follows the slashes; nothing in it is Markdown but paragraphs."""
        lines = [line.removeprefix(" ") for line in self._by_path.get(path, "").splitlines()]
        indented = any(line.startswith("  ") for line in lines)
        text = "\n".join(lines).strip("\n")
        if indented:
            return f"```text\n{text}\n```"
        return text.replace("<", "&lt;").replace("|", "\\|").replace("[", "\\[")


def _type(field: _Field) -> str:
    name = field.type_name.rpartition(".")[2] or _Field.Type.Name(field.type).removeprefix("TYPE_").lower()
    own = field.type_name.startswith(".exalign.v1.")
    text = f"[{name}](#{anchor(name)})" if own else name
    return f"repeated {text}" if field.label == _Field.LABEL_REPEATED else text


def anchor(name: str) -> str:
    """Of a message, an enumeration or a service."""
    return name.lower()


def _messages(message: descriptor_pb2.DescriptorProto, comments: _Comments, path: tuple[int, ...]) -> Iterator[str]:
    if message.options.map_entry:
        return
    yield f"### {message.name} {{ #{anchor(message.name)} }}\n"
    yield comments.at(*path) + "\n"
    if message.field:
        yield "| field | type | |\n|---|---|---|"
        for i, field in enumerate(message.field):
            said = " ".join(comments.at(*path, _FIELD, i).replace("```text", "").replace("```", "").split())
            yield f"| `{field.name}` | {_type(field)} | {said} |"
        yield ""
    for i, nested in enumerate(message.nested_type):
        yield from _messages(nested, comments, (*path, _NESTED, i))
    for i, enum in enumerate(message.enum_type):
        yield from _enum(enum, comments, (*path, _NESTED_ENUM, i))


def _enum(enum: descriptor_pb2.EnumDescriptorProto, comments: _Comments, path: tuple[int, ...]) -> Iterator[str]:
    yield f"### {enum.name} {{ #{anchor(enum.name)} }}\n"
    yield comments.at(*path) + "\n"
    yield "| value | |\n|---|---|"
    for i, value in enumerate(enum.value):
        yield f"| `{value.name}` = {value.number} | {' '.join(comments.at(*path, _VALUE, i).split())} |"
    yield ""


def _services(file: descriptor_pb2.FileDescriptorProto, comments: _Comments) -> Iterator[str]:
    for i, service in enumerate(file.service):
        yield f"### {service.name} {{ #{anchor(service.name)} }}\n"
        yield comments.at(_SERVICE, i) + "\n"
        for j, method in enumerate(service.method):
            parts = []
            for name, streams in (
                (method.input_type, method.client_streaming),
                (method.output_type, method.server_streaming),
            ):
                short = name.rpartition(".")[2]
                parts.append(f"{'stream of ' if streams else ''}[{short}](#{anchor(short)})")
            yield f"**{method.name}**: {parts[0]} → {parts[1]}\n"
            yield comments.at(_SERVICE, i, _METHOD, j) + "\n"


def page() -> str:
    """The reference."""
    files = [file for file in descriptors().file if file.package == "exalign.v1"]
    # Services first: they are what a caller looks for.
    files.sort(key=lambda file: (not file.service, not file.name.endswith("service.proto"), file.name))
    parts = ["# The contract exalign.v1\n", "Made from the protos and their comments.\n"]
    for file in files:
        comments = _Comments(file)
        parts.append(f"## {file.name.rpartition('/')[2]}\n")
        parts += _services(file, comments)
        for i, message in enumerate(file.message_type):
            parts += _messages(message, comments, (_MESSAGE, i))
        for i, enum in enumerate(file.enum_type):
            parts += _enum(enum, comments, (_ENUM, i))
    return "\n".join(parts)


if __name__ == "__main__":
    sys.stdout.write(page())
