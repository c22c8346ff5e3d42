"""Classify images with MoH-ViT, and see which attention heads work for what.

    import mohvit
    model = mohvit.Model("moh_transnext_small_75.pth")    # or Model(), a small one that is built in
    result = model(["cat.jpg", "dog.jpg"])
    result.top(5), result.logits, result.features, result.head_tokens
"""

from ._mohvit import ffi as _ffi, lib as _lib
from .context import Block
from .errors import (ArgumentError, CancelledError, Error, FileError, ForbiddenFileError, FormatError, LimitError, MismatchError,
                     MissingFileError, NonFiniteError, OutOfMemoryError, SystemFailure, UnsupportedError)
from .evaluation import Evaluation, evaluate
from .head_load import HeadLoad
from .model import Model, Prediction, Result
from .program import CommandError, program_path, run_cli
from .vectors import Features, load_features

__all__ = [
    "ArgumentError", "Block", "CancelledError", "CommandError", "Error", "Evaluation", "Features", "FileError",
    "ForbiddenFileError", "FormatError", "HeadLoad", "LimitError", "MismatchError", "MissingFileError", "Model",
    "NonFiniteError", "OutOfMemoryError", "Prediction", "Result", "SystemFailure", "UnsupportedError", "evaluate",
    "load_features", "program_path", "run_cli",
]
__version__: str = _ffi.string(_lib.mohvit_version()).decode()
