"""Models as files, and the check that everything that is sent to a worker can be sent."""

from __future__ import annotations

import hashlib
import secrets
import threading
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Self

from alkit._files import write_atomically
from alkit.arguments.returned import check_returned
from alkit.errors import AlkitError, ConfigurationError, StoreError
from alkit.protocols import Learner, Predictor
from alkit.sharing.devices import worker_device
from alkit.sharing.placing import place_learner

MOST = 2
"""Models that a worker keeps in memory."""

_opened = threading.local()  # only one thread may use a model at a time


@dataclass(frozen=True)
class ModelFile:
    """A model on its way to workers: its learner, and the file with the bytes of its ``dumps()``.

    Parameters
    ----------
    learner:
        Reads the bytes.
    path, digest:
        The file, and the SHA-256 of its content.
    reader:
        Digest of the learner, because another one may make another model of the same bytes.
    """

    learner: Learner
    path: Path
    digest: str
    reader: str

    def load(self) -> Predictor:
        """Return the model on the device of this worker.

        Raises
        ------
        StoreError
            The file cannot be read, or has another content.
        """
        models: dict[tuple[str, str, str | None], Predictor] = vars(_opened).setdefault("models", {})
        key = self.digest, self.reader, worker_device()
        if key not in models:
            try:
                dumped = self.path.read_bytes()
            except OSError as reason:
                raise StoreError(f"cannot read the model {self.path} ({reason.strerror})") from reason
            if hashlib.sha256(dumped).hexdigest() != self.digest:
                raise StoreError(f"the model {self.path} has changed since it was written")
            learner = place_learner(self.learner, worker_device())
            predictor = learner.loads(dumped)
            check_returned(learner, "loads", predictor, Predictor)
            while len(models) >= MOST:
                del models[next(iter(models))]
            models[key] = predictor
        return models[key]


def digest_of(thing: object) -> str:
    """Return a digest of an object as it is sent to workers. One that cannot be sent is like no other."""
    try:
        return hashlib.sha256(_packed(thing)).hexdigest()
    except Exception:  # which is raised when it is sent
        return secrets.token_hex(8)


def _packed(thing: object) -> bytes:
    """Return the bytes in which joblib sends an object to another process."""
    from joblib.externals.loky.backend.reduction import dumps

    packed: bytes = dumps(thing)
    return packed


def pack_model(predictor: Predictor | ModelFile, learner: Learner | None, folder: Path) -> ModelFile | Predictor:
    """Return a model as it travels: as a file if its learner is known, else itself."""
    if learner is None or isinstance(predictor, ModelFile):
        return predictor
    dumped = predictor.dumps()
    check_returned(predictor, "dumps", dumped, bytes)
    digest = hashlib.sha256(dumped).hexdigest()
    path = folder / f"{digest}.model"
    if not path.exists():
        write_atomically(path, dumped)
    return ModelFile(learner, path, digest, digest_of(learner))


def open_model(model: ModelFile | Predictor) -> Predictor:
    """Return the model, which a worker reads from its file once."""
    return model.load() if isinstance(model, ModelFile) else model


@dataclass(frozen=True)
class OfModel:
    """Work of a model on the images of a shard.

    In one process, the size of batches for which the memory of the device has `sufficed` holds for all shards.
    """

    predictor: Predictor | ModelFile
    learner: Learner | None
    sufficed: list[int] = field(default_factory=list, kw_only=True)

    def packed(self, folder: Path) -> Self:
        """Return the work with the model as a file."""
        return replace(self, predictor=pack_model(self.predictor, self.learner, folder), learner=None)


def check_travels(*things: Any) -> None:
    """Check that work and a shard can be sent to another process.

    Raises
    ------
    ConfigurationError
        A part cannot be sent. The message names it.
    """
    for thing in things:
        if (reason := _problem(thing)) is None:
            continue
        name, part, reason = _innermost(thing, reason)
        raise ConfigurationError(
            f"{name} cannot be sent to another process ({type(reason).__name__}: {reason})",
            got=f"an object of type {type(part).__name__}",
            hint="a class or function of a module without open files or locks, or workers=1",
        ) from reason


def check_received(reason: BaseException) -> None:
    """Check that an error of the backend is not one of a worker that cannot load what it was sent.

    Raises
    ------
    ConfigurationError
        It is. The message has the error of the worker.
    """
    if isinstance(reason, ImportError):
        text = f"{type(reason).__name__}: {reason}"
    elif UNREAD in str(reason):  # loky gives the worker's traceback as the cause
        lines = [line for line in str(reason.__cause__).splitlines() if line.strip(' "')]
        text = lines[-1] if lines else str(reason)
    else:
        return
    raise ConfigurationError(
        f"a worker cannot load the work that it was sent ({text})",
        hint="classes and functions of modules that workers can import: of installed packages, of a folder in "
        "PYTHONPATH, or beside the program; or workers=1",
    ) from reason


UNREAD = "un-serialize"
"""Word of loky's message about work that a worker cannot load."""


def _problem(thing: Any) -> Exception | None:
    try:
        _packed(thing)
    except AlkitError:
        raise
    except Exception as reason:  # an object may fail in any way
        return reason
    return None


def _innermost(thing: Any, reason: Exception) -> tuple[str, Any, Exception]:
    """Return the name of the part that cannot be sent, the part, and the reason."""
    name = type(thing).__name__
    while is_dataclass(thing) and not isinstance(thing, type):
        for entry in fields(thing):
            part = getattr(thing, entry.name, None)
            if (own := _problem(part)) is not None:
                name, thing, reason = entry.name.lstrip("_"), part, own
                break
        else:
            break
    return name, thing, reason
