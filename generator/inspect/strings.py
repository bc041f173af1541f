"""Names in a damaged protobuf file: protobuf hands out a string that is no UTF-8 as bytes."""

from pathlib import Path

from google.protobuf.message import Message

from generator.errors import ModelError

__all__ = ["require_text"]


def require_text(path: Path, message: Message) -> None:
    """Check that every string in `message`, read from `path`, is UTF-8.

    Raises
    ------
    ModelError
        One is not: the file is damaged.
    """
    for field, value in message.ListFields():
        single = isinstance(value, (str, bytes, int, float, Message))
        for each in [value] if single else value:
            if isinstance(each, Message):
                require_text(path, each)
            elif field.type == field.TYPE_STRING and isinstance(each, bytes):
                raise ModelError(f"{path}: is damaged: its {field.full_name} {each!r} is no UTF-8 text")
            elif field.type != field.TYPE_STRING:
                break  # numbers
