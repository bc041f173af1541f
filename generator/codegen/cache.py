"""Compiled templates kept between runs: compiling them costs more than all the rest of `gen-model`."""

import contextlib
import marshal
import os
import sys
from hashlib import sha256
from pathlib import Path

import jinja2
from jinja2.bccache import Bucket, BytecodeCache

from generator.files import write_bytes

__all__ = ["TemplateCache"]


class TemplateCache(BytecodeCache):
    """Byte code of templates in the user's cache folder, each under the hash of its source and of what compiled it.

    A folder that cannot be read or written is as good as none.
    """

    def __init__(self) -> None:
        home = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
        self._folder = Path(home) / "drn" / "templates"

    def load_bytecode(self, bucket: Bucket) -> None:
        """Fill ``bucket`` where its code is kept."""
        with contextlib.suppress(OSError, ValueError, EOFError, TypeError):
            path = self._path(bucket)
            if path.stat().st_uid == os.getuid():  # code of another user is not run
                bucket.code = marshal.loads(path.read_bytes())  # noqa: S302 - of our own writing, checked above

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep the code of ``bucket``."""
        with contextlib.suppress(OSError):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_bytes(self._path(bucket), marshal.dumps(bucket.code))

    def _path(self, bucket: Bucket) -> Path:
        kind = "sandboxed" if bucket.environment.sandboxed else "plain"  # they compile a call differently
        made_by = f"{bucket.key} {bucket.checksum} {kind} {jinja2.__version__} {sys.version}"
        return self._folder / sha256(made_by.encode()).hexdigest()
