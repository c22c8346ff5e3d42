"""From what callers have (paths, bytes, PIL images, arrays) to the slots of a context."""

from __future__ import annotations

import os
import sys
import threading
from typing import Any, Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from ._mohvit import ffi, lib
from .errors import check


def path_bytes(path: Any) -> bytes:
    """A path as the library takes it."""
    return _whole(os.fsencode(path), "a path")


def text_bytes(value: Any) -> bytes:
    """Any other string, or what is written as one."""
    return _whole(str(value).encode(), repr(value))


def _whole(text: bytes, what: str) -> bytes:
    if b"\0" in text:  # where C would end it
        raise ValueError(f"{what} with a zero byte")
    return text


def is_encoded(image: Any) -> bool:
    return isinstance(image, (bytes, bytearray, memoryview))


def is_pil(image: Any) -> bool:
    pil = sys.modules.get("PIL.Image")  # whoever has such an image has imported it
    return pil is not None and isinstance(image, pil.Image)


def pixels_of(image: Any, exif_orientation: bool) -> NDArray[np.uint8]:
    """Of a PIL image, as Pillow converts it to RGB."""
    with _decoding:
        image.load()
    if exif_orientation:
        from PIL import ImageOps
        image = ImageOps.exif_transpose(image)
    return np.asarray(image.convert("RGB"))


_decoding = threading.Lock()  # several threads may meet at one image, which Pillow reads when it is first used


def as_array(image: Any) -> NDArray[Any]:
    """Arrays of numpy and whatever turns into one, PyTorch's tensors on any device among them."""
    if isinstance(image, np.ndarray):
        return image
    if hasattr(image, "detach"):
        image = image.detach().cpu()
    return np.asarray(image)


def split(images: Any) -> Iterable[Any]:
    """The single pictures of what a model was called with."""
    if isinstance(images, (str, os.PathLike)) or is_encoded(images) or is_pil(images):  # first: some of numpy are strings
        return [images]
    if isinstance(images, np.ndarray) or hasattr(images, "__array__"):
        array = as_array(images)
        if array.ndim == 4 or array.ndim == 1 and array.dtype.kind in "OU":  # the latter of paths, as a table's column is
            return list(array)
        return [array]
    lines_or_keys = hasattr(images, "read") or isinstance(images, Mapping)  # what iterating a file or a dict gives
    if lines_or_keys or not hasattr(images, "__iter__") and not hasattr(images, "__getitem__"):
        raise TypeError(f"{type(images).__name__}; expected {EXPECTED}, or several of these")
    many: Iterable[Any] = images
    return many


EXPECTED = "a path, the bytes of a file, an image of PIL, uint8 pixels or a float32 tensor"


def load(context: Any, slot: int, image: Any, img_size: int, exif_orientation: bool, error: Any) -> None:
    """Reads, resizes, crops and normalises a picture; takes a tensor as it is."""
    if type(image) is np.ndarray:  # first, since it is the one that must not wait
        status = _load_array(context, slot, image, image, img_size, error)
    elif isinstance(image, (str, os.PathLike)):
        status = lib.mohvit_load_file(context, slot, path_bytes(image), error)
    elif is_encoded(image):
        with ffi.from_buffer(image) as data:
            status = lib.mohvit_load_memory(context, slot, data, len(data), error)
    else:
        array = pixels_of(image, exif_orientation) if is_pil(image) else as_array(image)
        status = _load_array(context, slot, image, array, img_size, error)
    check(status, error)


def _load_array(context: Any, slot: int, image: Any, array: NDArray[Any], img_size: int, error: Any) -> int:
    """The status of the library. image: what the array was made of."""
    if array.dtype == np.float32:
        if array.shape != (3, img_size, img_size):
            raise ValueError(f"float32 of shape {array.shape}; expected (3, {img_size}, {img_size})")
        tensor = ffi.from_buffer("float[]", np.ascontiguousarray(array))
        return int(lib.mohvit_load_tensor(context, slot, tensor, error))
    if array.dtype != np.uint8:
        raise TypeError(f"{type(image).__name__} of {array.dtype}; expected {EXPECTED}")
    if array.ndim != 3 or array.shape[2] != 3:
        raise ValueError(f"uint8 of shape {array.shape}; expected (height, width, 3)")
    height, width, _ = array.shape
    stride = array.strides[0]
    if array.strides[1:] != (3, 1) or stride < 3 * width:
        array, stride = np.ascontiguousarray(array), 3 * width
    pixels = ffi.cast("const uint8_t *", array.ctypes.data)
    return int(lib.mohvit_load_rgb(context, slot, pixels, width, height, stride, error))
