"""What can go wrong: each status of the library is an exception, which is also the built-in one that fits."""

from __future__ import annotations

import errno
import os
import threading
from typing import Any

from ._mohvit import ffi, lib


class Error(Exception):
    """Base of all exceptions of this library. The message says what, where, expected and found."""


class ArgumentError(Error, ValueError):
    """The caller asked for something impossible."""


class OutOfMemoryError(Error, MemoryError):
    """An allocation failed."""


class _OfSystem(Error, OSError):
    """With errno and strerror where the system refused, and filename where that was of a file the caller named."""

    def __str__(self) -> str:
        return "".join(map(str, self.args[:1]))  # which OSError would make of errno and filename

    def __reduce__(self) -> Any:
        return _again, (type(self), self.args, vars(self), self.errno, self.strerror, self.filename)


def _again(kind: type[_OfSystem], args: tuple[Any, ...], members: dict[str, Any], *of_system: Any) -> _OfSystem:
    error = kind(*args)
    vars(error).update(members)
    error.errno, error.strerror, error.filename = of_system
    return error


class FileError(_OfSystem):
    """A file is missing, may not be read or written, or ends early."""


class MissingFileError(FileError, FileNotFoundError):
    """A file is not there."""


class ForbiddenFileError(FileError, PermissionError):
    """A file that this process may not read or write."""


class FormatError(Error, ValueError):
    """A file is damaged, or not what it claims to be."""


class UnsupportedError(Error, ValueError):
    """A known format or feature that is not handled."""


class LimitError(Error, ValueError):
    """Larger than a limit set by the caller or stated in the documentation."""


class MismatchError(Error, ValueError):
    """Things that do not belong together: a checkpoint and a config, head loads of two models."""


class NonFiniteError(Error, ArithmeticError):
    """The network answered with NaN or infinity."""


class CancelledError(Error):
    """The call was cancelled, by an exception in another thread that worked for the same call."""


class SystemFailure(_OfSystem):
    """The operating system failed, whatever the file: a disk that is broken or full, too many open files."""


_BY_STATUS = {
    lib.MOHVIT_ERROR_ARGUMENT: ArgumentError,
    lib.MOHVIT_ERROR_MEMORY: OutOfMemoryError,
    lib.MOHVIT_ERROR_IO: FileError,
    lib.MOHVIT_ERROR_FORMAT: FormatError,
    lib.MOHVIT_ERROR_UNSUPPORTED: UnsupportedError,
    lib.MOHVIT_ERROR_LIMIT: LimitError,
    lib.MOHVIT_ERROR_MISMATCH: MismatchError,
    lib.MOHVIT_ERROR_NONFINITE: NonFiniteError,
    lib.MOHVIT_ERROR_CANCELLED: CancelledError,
    lib.MOHVIT_ERROR_SYSTEM: SystemFailure,
}


class _OfThread(threading.local):
    raised: BaseException | None = None


_of_thread = _OfThread()


def keep_raised(kind: Any, value: BaseException, traceback: Any) -> None:
    """What a callback raised, for the call of the library during which it was called."""
    _of_thread.raised = value


@ffi.def_extern(error=1, onerror=keep_raised)  # KeyboardInterrupt and what else signals raise, before the first line, too
def on_time(told: Any, done: int, total: int) -> int:
    return int(ffi.from_handle(told).tell(done, total)) if told else 0


_BY_NUMBER = {errno.ENOENT: MissingFileError, errno.EACCES: ForbiddenFileError, errno.EPERM: ForbiddenFileError}


def check(status: int, error: Any, *paths: Any) -> None:
    """Raises what a signal or a callback raised during a call of the library, or what its status stands for. paths: what the
    caller gave, one of which may be the file that failed."""
    if _of_thread.raised is not None:
        raised, _of_thread.raised = _of_thread.raised, None
        raise raised
    if not status:
        return
    kind, message = _BY_STATUS.get(status, Error), ffi.string(error.message).decode("utf-8", "replace")
    if kind not in (FileError, SystemFailure):
        raise kind(message)
    failure: OSError = _BY_NUMBER.get(error.number, FileError)(message) if kind is FileError else SystemFailure(message)
    if error.number:
        failure.errno, failure.strerror = error.number, os.strerror(error.number)
    for path in paths:
        if isinstance(path, (str, os.PathLike)) and _is_of(ffi.string(error.message), os.fsencode(path), failure.strerror):
            failure.filename = os.fspath(path)
    raise failure


def _is_of(message: bytes, path: bytes, reason: str | None) -> bool:
    """Whether a message is of this file itself, and not of another that it names. reason: what the system said, if it did."""
    if not message.startswith(path + b": "):
        return False
    return message.endswith(b": " + os.fsencode(reason)) if reason else b": " not in message[len(path) + 2:]
