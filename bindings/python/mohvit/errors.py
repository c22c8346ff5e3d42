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


class FileError(Error, OSError):
    """A file is missing, may not be read or written, or ends early."""


class MissingFileError(FileError, FileNotFoundError):
    """A file is not there."""


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


class SystemFailure(Error, OSError):
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


def check(status: int, error: Any) -> None:
    """Raises what a signal or a callback raised during a call of the library, or what its status stands for."""
    if _of_thread.raised is not None:
        raised, _of_thread.raised = _of_thread.raised, None
        raise raised
    if status:
        kind, message = _BY_STATUS.get(status, Error), ffi.string(error.message).decode("utf-8", "replace")
        raise MissingFileError(message) if kind is FileError and message.endswith(os.strerror(errno.ENOENT)) else kind(message)
