"""Which heads work for which class."""

from __future__ import annotations

import os
import tempfile
import threading
import weakref
from typing import Any, Sequence

import numpy as np
from numpy.typing import NDArray

from . import pictures
from ._mohvit import ffi, lib
from .attributes import Attribute
from .context import Block, block_index, read_layout
from .errors import MismatchError, check
from .model import Model, Result


def check_classes(result: Result, classes: Any) -> NDArray[Any]:
    """(N) indices of the classes of a result's images."""
    indices, number, n = np.asarray(classes), result.logits.shape[1], len(result)
    if indices.shape not in ((), (n,)):
        raise ValueError(f"classes of shape {indices.shape}; expected one for each of {n} images")
    indices = np.broadcast_to(indices, (n,))
    if not n:
        return np.empty(0, np.int64)  # of an empty list numpy would make floats
    if indices.dtype.kind not in "iu":
        raise TypeError(f"classes of {indices.dtype}; expected indices")
    if not 0 <= indices.min() <= indices.max() < number:
        raise ValueError(f"classes from {indices.min()} to {indices.max()}; expected 0 to {number - 1}")
    return indices


class HeadLoad:
    """Exact counts of which heads work for which class, over any number of images, the same to the last bit whatever their
    order. Of a model: nothing counted yet. HeadLoad.load reads what was saved, by this class or by the program.

    A head's load is the share of a class's tokens that selected it. It can be pickled."""

    layout = Attribute["tuple[Block, ...]"]("The attention blocks over all stages.")
    labels = Attribute["list[str]"]("Names of the classes.")
    label_ids = Attribute["list[str | None]"]("WordNet ids of the classes.")

    def __init__(self, model: Model) -> None:
        error, out = ffi.new("mohvit_error *"), ffi.new("mohvit_head_load **")
        context = model._pool.take(1, model.threads, (False, False))  # which knows how the model treats pictures
        check(lib.mohvit_head_load_create_of_context(out, context.pointer, error), error)
        model._pool.give(context)
        self._take(out[0])
        self._accept(model)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> HeadLoad:
        """Opens a saved head load, to be asked or counted on."""
        error, out = ffi.new("mohvit_error *"), ffi.new("mohvit_head_load **")
        check(lib.mohvit_head_load_open(out, pictures.path_bytes(path), error), error, path)
        load = cls.__new__(cls)
        load._take(out[0])
        return load

    def _take(self, pointer: Any) -> None:
        self._pointer = ffi.gc(pointer, lib.mohvit_head_load_destroy)
        self._lock = threading.RLock()  # the library serves one caller at a time
        self._fits: weakref.WeakSet[Model] = weakref.WeakSet()  # whose results may be added
        self._known: list[Any] = []  # what is said of these models by their results that were pickled
        error, info = ffi.new("mohvit_error *"), ffi.new("mohvit_head_load_info *")
        info.size = ffi.sizeof("mohvit_head_load_info")
        check(lib.mohvit_head_load_get_info(pointer, info, error), error)
        self._shape = (info.classes, info.blocks, info.max_heads)
        self.layout = read_layout(lambda *args: lib.mohvit_head_load_get_block(pointer, *args), info.blocks)
        self.labels = [ffi.string(lib.mohvit_head_load_label(pointer, k)).decode() for k in range(info.classes)]
        ids = [lib.mohvit_head_load_label_id(pointer, k) for k in range(info.classes)]
        self.label_ids = [ffi.string(i).decode() if i else None for i in ids]

    def _accept(self, model: Model) -> None:
        self._fits.add(model)
        self._known.append(model._counts())

    def __reduce__(self) -> Any:
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "load.safetensors")
            self.save(path)
            with open(path, "rb") as file:
                return _unpickled, (file.read(), self._known)

    def __repr__(self) -> str:
        return f"<mohvit.HeadLoad of {int(self.images.sum())} images of {self._shape[0]} classes>"

    def add(self, result: Result, classes: int | Sequence[int]) -> None:
        """Counts the images of a result for their classes: an index each, or one for all. MismatchError where the result
        is of another model, or of one that computes or treats pictures otherwise. Where one image is refused, those before
        it are counted."""
        if result.model is None and result._counted_by not in self._known:
            raise MismatchError("the result was pickled by another model than those that this head load knows: "
                                "make the head load of that model, or first add a result that was not pickled")
        if result.model is not None and result.model not in self._fits:
            try:
                self.merge(HeadLoad(result.model))  # of nothing; the library knows what may be added up
            except MismatchError as mismatch:
                mismatch.args = (str(mismatch).replace("the head load that is added to", "this head load")
                                 .replace("the head load that is added", "the result"),)
                raise
            self._accept(result.model)
        indices = check_classes(result, classes)
        tokens = self._counts_of(result, "head_tokens", np.int32)
        gate_sum = self._counts_of(result, "head_gate_sum", np.float64)
        error = ffi.new("mohvit_error *")
        with self._lock:
            for i, k in enumerate(indices.tolist()):
                check(lib.mohvit_head_load_add_image(self._pointer, ffi.from_buffer("int32_t[]", tokens[i]),
                                                     ffi.from_buffer("double[]", gate_sum[i]), k, error), error)

    def _counts_of(self, result: Result, name: str, dtype: Any) -> NDArray[Any]:
        """An array of a result, whose attributes are the caller's to replace, as the library reads it."""
        array, shape = np.asarray(getattr(result, name)), (len(result), *self._shape[1:])
        if array.shape != shape:
            raise ValueError(f"{name} of shape {array.shape}; expected {shape}")
        return array.astype(dtype, "C", "same_kind", copy=False)

    def merge(self, other: HeadLoad, *, allow_mixed: bool = False) -> None:
        """Adds what another one has counted. MismatchError where that is of another model, or was counted otherwise: other
        weights, preprocessing, EXIF orientation or precision, and unless allow_mixed another backend or instruction set, or
        one a file of 0.1."""
        error = ffi.new("mohvit_error *")
        first, second = sorted((self, other), key=id)  # so that two that are merged with each other do not wait for ever
        with first._lock, second._lock:
            check(lib.mohvit_head_load_merge(self._pointer, other._pointer, allow_mixed, error), error)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes a safetensors file, whole or not at all, that HeadLoad.load and the program read."""
        error = ffi.new("mohvit_error *")
        with self._lock:
            check(lib.mohvit_head_load_save(self._pointer, pictures.path_bytes(path), error), error, path)

    # ---- What was counted ------------------------------------------------------------------------

    def _counted(self, member: str) -> NDArray[Any]:
        classes, blocks, _ = self._shape
        shape = {"images": (classes,), "tokens": (classes, blocks)}.get(member, self._shape)
        array = np.zeros(shape, np.float64 if member == "gate_sum" else np.int64)
        error = ffi.new("mohvit_error *")
        with self._lock:
            for k in range(classes):
                places = {member: ffi.from_buffer("double[]" if member == "gate_sum" else "int64_t[]", array[k:k + 1])}
                arguments = [places.get(name, ffi.NULL) for name in ("images", "tokens", "active", "gate_sum")]
                check(lib.mohvit_head_load_of_class(self._pointer, k, *arguments, error), error)
        return array

    @property
    def images(self) -> NDArray[np.int64]:
        """(classes)."""
        return self._counted("images")

    @property
    def tokens(self) -> NDArray[np.int64]:
        """(classes, blocks): tokens of these images."""
        return self._counted("tokens")

    @property
    def active(self) -> NDArray[np.int64]:
        """(classes, blocks, heads): tokens that selected the head; -1 where a block has fewer heads."""
        return self._counted("active")

    @property
    def gate_sum(self) -> NDArray[np.float64]:
        """(classes, blocks, heads): the head's final gate, summed over all tokens; 0 where a block has fewer."""
        return self._counted("gate_sum")

    @property
    def loads(self) -> NDArray[np.float64]:
        """(classes, blocks, heads): active / tokens, the share of a class's tokens that selected the head; NaN where a block
        has fewer heads, or nothing was counted of a class."""
        active, tokens = self.active.astype(np.float64), self.tokens[:, :, None]
        return np.divide(active, tokens, out=np.full(active.shape, np.nan), where=(active >= 0) & (tokens > 0))

    # ---- Figures ---------------------------------------------------------------------------------

    def _class_index(self, value: int | str) -> int:
        if isinstance(value, str):
            for i, names in enumerate(zip(self.labels, self.label_ids)):
                if value.lower() in (name.lower() for name in names if name):
                    return i
            some = ", ".join(self.labels[:20]) + (", ..." if len(self.labels) > 20 else "")
            raise ValueError(f"no class is called {value!r}; there are {some}")
        if not 0 <= value < self._shape[0]:
            raise IndexError(f"class {value} of {self._shape[0]}")
        return value

    def plot(self, classes: Sequence[int | str] | int | str | None = None, block: int | str | None = None, *,
             heatmap: bool | None = None, figure: Any = None) -> Any:
        """Draws the load of a block's routed heads with Matplotlib, and returns the figure.

        classes: names, WordNet ids or indices, or one of these; default: all that were counted.
        block: index or name ("4.0"); default: the last that routes.
        heatmap: a row for each class, in place of a panel with bars and a dashed line where all heads would be if the work
        were spread evenly; default: for more than 12 classes.
        figure: one to draw in, in place of a new one.

        Routed heads are called r1, r2, ..., as in the program's figures: index shared, shared + 1, ... of the arrays."""
        import matplotlib.pyplot as plt

        if block is None:
            block = max((i for i, b in enumerate(self.layout) if b.routed), default=len(self.layout) - 1)
        index = block_index(self.layout, block)
        which = self.layout[index]
        if not which.routed:
            raise ValueError(f"block {which.name} routes no heads")
        if isinstance(classes, (str, int)):
            classes = [classes]
        chosen = np.flatnonzero(self.images).tolist() if classes is None else [self._class_index(c) for c in classes]
        if not chosen:
            raise ValueError("no images were counted")
        loads = self.loads[chosen, index, which.shared:which.heads]
        heads = np.arange(1, loads.shape[1] + 1)
        balanced = which.routed / (which.heads - which.shared)
        if heatmap is None:
            heatmap = len(chosen) > 12
        height = 1.5 + 0.2 * len(chosen) if heatmap else 1 + 1.3 * len(chosen)
        figure = figure or plt.figure(figsize=(5, min(height, 30)), layout="constrained")
        if heatmap:
            axes = figure.subplots()
            picture = axes.imshow(loads, aspect="auto", vmin=0, vmax=1, extent=(0.5, len(heads) + 0.5, len(chosen) - 0.5, -0.5))
            axes.set_yticks(range(len(chosen)), [self.labels[k] for k in chosen])
            figure.colorbar(picture, label="load")
        else:
            panels = figure.subplots(len(chosen), sharex=True, sharey=True, squeeze=False)[:, 0]
            for axes, k, row in zip(panels, chosen, loads):
                axes.bar(heads, row)
                axes.axhline(balanced, color="gray", linestyle="--", linewidth=1)
                axes.set(title=f"{self.labels[k]} ({self.images[k]} image{'' if self.images[k] == 1 else 's'})", ylim=(0, 1), ylabel="load")
        ticks = heads if len(heads) <= 16 else heads[::4]
        axes.set_xticks(ticks, [f"r{head}" for head in ticks], fontsize="small")
        axes.set(xlabel=f"routed head of block {which.name}")
        return figure


def _unpickled(data: bytes, known: list[Any]) -> HeadLoad:
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "load.safetensors")
        with open(path, "wb") as file:
            file.write(data)
        load = HeadLoad.load(path)
    load._known = known
    return load
