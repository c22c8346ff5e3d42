"""From what callers have (paths, bytes, PIL images, arrays) to the slots of a context."""

from __future__ import annotations

import os
import sys
import threading
from typing import Any, Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from ._mohvit import ffi, lib

_FILE, _ENCODED, _RGB, _TENSOR = lib.PICTURE_FILE, lib.PICTURE_ENCODED, lib.PICTURE_RGB, lib.PICTURE_TENSOR
_UINT8, _FLOAT32 = np.dtype(np.uint8), np.dtype(np.float32)


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
    deep = image.mode.startswith("I;16") or image.mode == "I" and image.format == "PNG"  # gray of 16 bits
    if image.mode in ("I", "F") and not deep:  # which Pillow would cut at 255
        raise TypeError(f"{type(image).__name__} of mode {image.mode}; expected 8 bits a channel: scale it to 0 ... 255, and "
                        'convert it to "L" or "RGB"')
    if exif_orientation:
        from PIL import ImageOps
        image = ImageOps.exif_transpose(image)
    if deep:  # the upper byte, as the library reads such a file
        gray = (np.asarray(image) >> 8).astype(np.uint8)
        return np.repeat(gray[..., None], 3, axis=-1)
    return np.asarray(image.convert("RGB"))


_decoding = threading.Lock()  # several threads may meet at one image, which Pillow reads when it is first used


def as_array(image: Any) -> NDArray[Any]:
    """Arrays of numpy and whatever turns into one, PyTorch's tensors on any device among them."""
    if isinstance(image, np.ndarray):
        return image
    if hasattr(image, "detach"):
        image = image.detach().cpu()
        if str(image.dtype) in ("torch.bfloat16", "torch.float16", "torch.float64"):  # numpy does not have the first
            raise TypeError(f"{type(image).__name__} of {image.dtype}; expected {EXPECTED}: convert it by .float()")
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


def describe(picture: Any, image: Any, img_size: int, exif_orientation: bool) -> Any:
    """Fills in a struct of calls.h, and returns what must live until it was used."""
    if type(image) is np.ndarray:  # first, since it is the one that must not wait
        return describe_array(picture, image, image, img_size)
    if isinstance(image, (str, os.PathLike)):
        picture.kind, picture.data = _FILE, (kept := ffi.new("char[]", path_bytes(image)))
        return kept
    if is_encoded(image):
        picture.kind, picture.data = _ENCODED, (kept := ffi.from_buffer(image))
        picture.size = len(kept)
        return kept
    array = pixels_of(image, exif_orientation) if is_pil(image) else as_array(image)
    return describe_array(picture, image, array, img_size)


def describe_array(picture: Any, image: Any, array: NDArray[Any], img_size: int) -> Any:
    """image: what the array was made of."""
    if array.dtype == _FLOAT32:
        if array.shape != (3, img_size, img_size):
            raise ValueError(f"float32 of shape {array.shape}; expected (3, {img_size}, {img_size})")
        picture.kind, picture.data = _TENSOR, (kept := ffi.from_buffer(np.ascontiguousarray(array)))
        return kept
    if array.dtype != _UINT8:
        hint = ": convert it by .astype(np.float32)" if array.dtype.kind == "f" else ""
        raise TypeError(f"{type(image).__name__} of {array.dtype}; expected {EXPECTED}{hint}")
    if array.ndim != 3 or array.shape[2] != 3:
        raise ValueError(f"uint8 of shape {array.shape}; expected (height, width, 3){_hint(array.shape)}")
    height, width, _ = array.shape
    stride = array.strides[0]
    if array.strides[1:] != (3, 1) or stride < 3 * width:
        array, stride = np.ascontiguousarray(array), 3 * width
    picture.kind, picture.width, picture.height, picture.stride = _RGB, width, height, stride
    if stride == 3 * width:
        picture.data = kept = ffi.from_buffer(array)
        return kept
    picture.data = ffi.cast("void *", array.ctypes.data)  # rows with room between them
    return array


def _hint(shape: tuple[int, ...]) -> str:
    """How pixels of another shape become those that are expected."""
    if len(shape) == 3 and shape[0] == 3:
        return ": where the channels come first, np.moveaxis(image, 0, -1)"
    if len(shape) == 3 and shape[2] == 1:
        return ": gray ones by np.repeat(images, 3, axis=-1)"
    if len(shape) == 2 or len(shape) == 3 and shape[2] > 4:
        return ": gray ones by np.repeat(images[..., None], 3, axis=-1)"
    return ""
