"""The message classes: wire format and isolation."""

import struct
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool

from generator.caffe import schema
from generator.caffe.schema import NetParameter, SolverParameter, SolverState, WeightsParameter


def field(number: int, payload: bytes) -> bytes:
    """A length-delimited field of less than 128 bytes, by protobuf's encoding rules."""
    key = number << 3 | 2
    return (bytes([key]) if key < 128 else bytes([key & 127 | 128, key >> 7])) + bytes([len(payload)]) + payload


BLOB = field(7, field(1, bytes([2]))) + field(5, struct.pack("<2f", 0.5, -2))
NET = field(1, b"tiny") + field(100, field(1, b"ip") + field(7, BLOB))


def test_caffes_field_numbers_are_on_the_wire() -> None:
    for net in (NetParameter.FromString(NET), WeightsParameter.FromString(NET)):
        assert (net.name, net.layer[0].name, list(net.layer[0].blobs[0].shape.dim)) == ("tiny", "ip", [2])


def test_numbers_are_floats_in_one_class_and_bytes_in_the_other_of_the_same_wire_format() -> None:
    assert list(NetParameter.FromString(NET).layer[0].blobs[0].data) == [0.5, -2]
    weights = WeightsParameter.FromString(NET)
    assert weights.layer[0].blobs[0].data == struct.pack("<2f", 0.5, -2)
    assert NetParameter.FromString(weights.SerializeToString()) == NetParameter.FromString(NET)


def test_fields_that_drn_does_not_know_are_passed_over() -> None:
    convolution = field(106, b"\x08\x04")
    net = WeightsParameter.FromString(field(100, convolution + field(1, b"ip") + field(7, BLOB)))
    assert net.layer[0].name == "ip"


def test_the_solver_has_caffes_defaults() -> None:
    solver = SolverParameter()
    assert (solver.type, solver.regularization_type, solver.clip_gradients) == ("SGD", "L2", -1)
    assert (solver.iter_size, solver.average_loss, solver.random_seed) == (1, 1, -1)


def test_another_copy_of_caffe_pb2_does_not_clash() -> None:
    file = descriptor_pb2.FileDescriptorProto(name="caffe/proto/caffe.proto", package="caffe", syntax="proto2")
    file.message_type.add(name="NetParameter")
    default = descriptor_pool.Default()
    default.AddSerializedFile(file.SerializeToString())
    other = default.FindMessageTypeByName("caffe.NetParameter")
    assert other is not NetParameter.DESCRIPTOR
    assert len({NetParameter.DESCRIPTOR.file.pool, SolverState.DESCRIPTOR.file.pool, other.file.pool}) == 3


def test_the_descriptors_are_those_that_protoc_makes_of_the_file(tmp_path: Path) -> None:
    pytest.importorskip("grpc_tools")
    folder = Path(schema.__file__).parent
    command = ["-m", "grpc_tools.protoc", f"-I{folder}", f"--descriptor_set_out={tmp_path / 'set'}", "caffe.proto"]
    subprocess.run([sys.executable, *command], check=True)
    (file,) = descriptor_pb2.FileDescriptorSet.FromString((tmp_path / "set").read_bytes()).file
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    # The pool resolves the names of types in both; JSON names are protoc's addition.
    ours, theirs = descriptor_pb2.FileDescriptorProto(), descriptor_pb2.FileDescriptorProto()
    NetParameter.DESCRIPTOR.file.CopyToProto(ours)
    pool.FindFileByName("caffe.proto").CopyToProto(theirs)
    for message in theirs.message_type:
        for each in message.field:
            each.ClearField("json_name")
    assert ours == theirs
