"""The options of the service."""

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from generator.errors import DrnError
from generator.serving.models.choice import VersionChoice
from generator.serving.store.store import IDLE

__all__ = ["BACKLOG", "LOOPBACK", "Settings"]

BACKLOG = 2048  # connections that wait to be accepted
LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True)
class Settings:
    """The options of `drn serve`.

    Attributes
    ----------
    models
        A run, a model repository, a model or a version of one.
    model
        Which model of a repository serves the sessions.
    choice
        Which of its versions.
    store
        URL of the store.
    idle
        Seconds after which a silent session is forgotten.
    host, port
        Where to listen.
    allow
        Names that the header Host may have. On loopback those of this machine are allowed besides, and no others;
        elsewhere all are, where none is given.
    token
        Bearer token that clients must send; None: none.
    reload
        Seconds between two looks at the version folders; 0: never.
    batch
        Requests in a batch at most.
    int8
        Whether output layers multiply in 8 bits.
    index
        Whether an index finds the best items, in place of scoring all.
    items
        File of what the shop says of its items, which then comes back with them; None: nothing.
    items_only
        Whether nothing but what is in that file is recommended.
    log_requests
        Whether each request is logged.
    drain
        Seconds that requests under way have to end after a SIGTERM.
    workers
        Processes that answer, each with the models in its own memory.
    """

    models: Path
    model: str | None = None
    choice: VersionChoice = field(default_factory=VersionChoice)
    store: str = "sqlite:///drn.sqlite"
    idle: float = IDLE
    host: str = "127.0.0.1"
    port: int = 8000
    allow: Collection[str] = ()
    token: str | None = None
    reload: float = 2.0
    batch: int = 32
    int8: bool = False
    index: bool = False
    items: Path | None = None
    items_only: bool = False
    log_requests: bool = True
    drain: float = 10.0
    workers: int = 1

    def cannot_listen(self) -> DrnError:
        """Return the error of a server that cannot have its host and port."""
        return DrnError(
            f"cannot listen on {self.host}:{self.port}: the port is taken, or the host is no address of this machine"
        )

    def hosts(self) -> Collection[str] | None:
        """Return what the header Host may name, lower case; None: anything."""
        if self.host not in LOOPBACK and not self.allow:
            return None
        own = {"127.0.0.1", "[::1]", "localhost", self.host.lower()}
        return own | {name.lower() for name in self.allow}
