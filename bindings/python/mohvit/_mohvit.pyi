# The extension module, which cffi makes of vit/mohvit.h.
from typing import Any

ffi: Any
lib: Any
