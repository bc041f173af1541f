"""Message classes for Caffe's files, built at run time in descriptor pools of their own.

The descriptors come from `caffe.proto` beside this module, one declaration a line, so that no protoc is needed; a
private pool cannot clash with another copy of caffe_pb2 in the process. `NetParameter`, `ParamSpec`, `FillerParameter`
and `SolverParameter` are Caffe's own and read prototxt. `WeightsParameter` (a NetParameter) and
`SolverState` speak the same wire format, but declare a blob's packed numbers as one `bytes` field of the same number,
so that numpy reads and writes them without a Python float in between.
"""

import re
from pathlib import Path
from typing import Any, TypeAlias

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

__all__ = [
    "FillerParameter",
    "Message",
    "NetParameter",
    "ParamSpec",
    "SolverParameter",
    "SolverState",
    "WeightsParameter",
]

# The classes exist at run time only, so the type checker sees any attribute.
Message: TypeAlias = Any

_FIELD = re.compile(r"(optional|repeated) (\w+) (\w+) = (\d+)(?: \[(packed|default) = (\S+)\])?;")
_NUMBERS = re.compile(r"repeated (?:float|double) ((?:double_)?(?:data|diff)) = (\d) \[packed = true\];")
_SCALARS = ("bool", "bytes", "double", "float", "int32", "int64", "string", "uint32")


def _enum(line: str, into: Any) -> None:
    """Add the enum of a one-line declaration ``enum Name { A = 0; B = 1; }`` to a file or message descriptor."""
    enum = into.enum_type.add(name=line.split()[1])
    for name, number in re.findall(r"(\w+) = (\d+);", line):
        enum.value.add(name=name, number=int(number))


def _field(line: str, message: Any, enums: set[str]) -> None:
    """Add the field of a one-line declaration to a message descriptor; `enums` are the names of all enums."""
    match = _FIELD.fullmatch(line)
    if match is None:
        raise AssertionError(f"not a field of a .proto: {line}")
    label, kind, name, number, option, value = match.groups()
    types = descriptor_pb2.FieldDescriptorProto
    field = message.field.add(name=name, number=int(number), label=types.Label.Value(f"LABEL_{label.upper()}"))
    if kind in _SCALARS:
        field.type = types.Type.Value(f"TYPE_{kind.upper()}")
    else:
        field.type = types.TYPE_ENUM if kind in enums else types.TYPE_MESSAGE
        field.type_name = kind  # the pool finds its scope
    if option == "packed":
        field.options.packed = True
    elif option == "default":
        field.default_value = value.strip('"')


def _describe(text: str) -> bytes:
    """Return the serialised FileDescriptorProto of a ``.proto`` text with one declaration a line."""
    file = descriptor_pb2.FileDescriptorProto(name="caffe.proto", package="caffe", syntax="proto2")
    enums = set(re.findall(r"enum (\w+)", text))
    scope: Any = file
    for line in filter(None, map(str.strip, text.splitlines())):
        if line.startswith("message "):
            scope = file.message_type.add(name=line.split()[1])
        elif line.startswith("enum "):
            _enum(line, scope)
        elif line == "}":
            scope = file
        elif not line.startswith(("//", "syntax ", "package ")):
            _field(line, scope, enums)
    return file.SerializeToString()


def _classes(text: str, *names: str) -> list[Any]:
    """Return the message classes ``names`` of a ``.proto`` text, in a new descriptor pool."""
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(_describe(text))
    descriptors = [pool.FindMessageTypeByName(f"caffe.{name}") for name in names]
    if hasattr(message_factory, "GetMessageClass"):
        return [message_factory.GetMessageClass(descriptor) for descriptor in descriptors]
    factory: Any = message_factory.MessageFactory(pool)  # protobuf before 4.22
    return [factory.GetPrototype(descriptor) for descriptor in descriptors]


_PROTO = Path(__file__).with_name("caffe.proto").read_text(encoding="utf-8")
FillerParameter, NetParameter, ParamSpec, SolverParameter = _classes(
    _PROTO, "FillerParameter", "NetParameter", "ParamSpec", "SolverParameter"
)
WeightsParameter, SolverState = _classes(
    _NUMBERS.sub(r"optional bytes \1 = \2;", _PROTO), "NetParameter", "SolverState"
)
