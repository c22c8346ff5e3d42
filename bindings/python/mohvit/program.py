"""The program mohvit, from Python."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import Any

from .errors import Error


class CommandError(Error):
    """A command of the program ended with another exit status than 0, or printed no JSON."""

    def __init__(self, status: int, messages: str, results: list[dict[str, Any]]) -> None:
        super().__init__(f"mohvit ended with {status}: {messages.strip()}")
        self.status = status  #: 1: some input failed; 2: wrong usage; 3: the model could not be loaded
        self.messages = messages
        self.results = results  #: what it had printed before

    def __reduce__(self) -> Any:
        return type(self), (self.status, self.messages, self.results)


def program_path() -> str:
    """The program that belongs to this module, or one that the system finds."""
    beside = os.path.join(os.path.dirname(os.path.abspath(__file__)), "bin", "mohvit")
    path = beside if os.access(beside, os.X_OK) else shutil.which("mohvit")
    if path is None:
        raise FileNotFoundError(f"the program mohvit is neither {beside} nor on PATH")
    return path


def run_cli(*arguments: Any) -> list[dict[str, Any]]:
    """Runs a command of the program that has --format, with --format json, and returns the objects that it prints: one of
    eval, one for each picture of classify.

        score, = mohvit.run_cli("eval", "--weights", "model.pth", "val/")
        score["top1"]

    Arguments that are neither strings nor paths are written as str does. CommandError where it ends with another exit
    status than 0, or prints something else, as for --help."""
    words = [os.fspath(a) if isinstance(a, (str, bytes, os.PathLike)) else str(a) for a in arguments]
    options_from = 2 if words[:1] == ["headload"] else 1
    command = [program_path(), *words[:options_from], "--format", "json", *words[options_from:]]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True)
    messages = done.stderr.decode("utf-8", "replace")
    try:
        results = [json.loads(line) for line in done.stdout.splitlines()]
    except ValueError:
        raise CommandError(done.returncode, messages + done.stdout.decode("utf-8", "replace"), []) from None
    if done.returncode:
        raise CommandError(done.returncode, messages, results)
    return results
