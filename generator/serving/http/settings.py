"""The options of the service."""

from dataclasses import dataclass, field
from pathlib import Path

from generator.serving.models.repository import VersionChoice
from generator.serving.store.store import IDLE

__all__ = ["Settings"]


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
    token
        Bearer token that clients must send; None: none.
    reload
        Seconds between two looks at the version folders; 0: never.
    batch
        Requests in a batch at most.
    int8
        Whether output layers multiply in 8 bits.
    log_requests
        Whether each request is logged.
    drain
        Seconds that requests under way have to end after a SIGTERM.
    """

    models: Path
    model: str | None = None
    choice: VersionChoice = field(default_factory=VersionChoice)
    store: str = "sqlite:///drn.sqlite"
    idle: float = IDLE
    host: str = "127.0.0.1"
    port: int = 8000
    token: str | None = None
    reload: float = 2.0
    batch: int = 32
    int8: bool = False
    log_requests: bool = True
    drain: float = 10.0
