"""Contexts: the memory that images are run in, lent by a model to one call at a time."""

from __future__ import annotations

from typing import Any, Callable, NamedTuple, Sequence

import numpy as np
from numpy.typing import NDArray

from . import pictures
from ._mohvit import ffi, lib
from .errors import Error, check, keep_raised


class Block(NamedTuple):
    """An attention block, and how many of its heads work for a token."""

    name: str  #: for people: "4.2" is block 2 of stage 4
    stage: int  #: from 1
    block: int  #: in its stage, from 0
    tokens: int  #: of one image
    heads: int
    shared: int  #: heads that are always on, the first ones; all of them where routed is 0
    routed: int  #: heads that each token selects of the others


def read_layout(get_block: Callable[[int, Any, Any], int], blocks: int) -> tuple[Block, ...]:
    error, block, layout = ffi.new("mohvit_error *"), ffi.new("mohvit_block *"), []
    block.size = ffi.sizeof("mohvit_block")
    for index in range(blocks):
        check(get_block(index, block, error), error)
        layout.append(Block(ffi.string(block.name).decode(), block.stage, block.block, block.tokens, block.heads,
                            block.shared, block.routed))
    return tuple(layout)


def block_index(layout: tuple[Block, ...], block: int | str) -> int:
    """A block by its index over all stages, from 0 or back from the end, or by its name."""
    if isinstance(block, str):
        names = [b.name for b in layout]
        if block not in names:
            raise ValueError(f"block {block!r}; expected one of {', '.join(names)}")
        return names.index(block)
    if not -len(layout) <= block < len(layout):
        raise IndexError(f"block {block} of {len(layout)}")
    return block % len(layout)


class Arrays(NamedTuple):
    """What a run answers: an array each, whose first axis are the images."""

    logits: NDArray[np.float32]
    features: NDArray[np.float32]
    head_tokens: NDArray[np.int32]
    head_gate_sum: NDArray[np.float64]
    gates: NDArray[np.float32] | None = None  # (N, the gates of all blocks one behind the other)


Trace = Callable[[int, int, NDArray[np.float32]], Any]  # (image, block, tokens that leave it)


@ffi.def_extern(error=1, onerror=keep_raised)
def on_trace(of: Any, slot: int, block: int, x: Any, tokens: int, channels: int) -> int:
    trace, first = ffi.from_handle(of)
    memory = bytearray(ffi.buffer(x, 4 * tokens * channels))
    trace(first + slot, block, np.frombuffer(memory, np.float32).reshape(tokens, channels))
    return 0


class Context:
    """One caller at a time. Holds the model for as long as it lives itself."""

    def __init__(self, owner: Any, batch: int, threads: int, gates: bool, image_options: Any) -> None:
        self.kind = (batch, threads, gates)
        self._error, out = ffi.new("mohvit_error *"), ffi.new("mohvit_context **")
        check(lib.mohvit_context_create(out, owner.pointer, batch, threads, self._error), self._error)
        destroy = lib.mohvit_context_destroy
        self._pointer = ffi.gc(out[0], lambda p, owner=owner: destroy(p))  # which has the model closed afterwards
        check(lib.mohvit_set_image_options(self._pointer, image_options, self._error), self._error)
        check(lib.mohvit_record_gates(self._pointer, gates, self._error), self._error)
        self._watch = ffi.new("watch *")
        lib.mohvit_set_progress(self._pointer, ffi.addressof(lib, "watch_progress"), self._watch)
        self._img_size, self._exif_orientation = owner.img_size, bool(image_options.exif_orientation)
        heads = (len(owner.layout), owner.max_heads)
        parts: list[tuple[Any, tuple[int, ...], Any]] = [  # of Arrays, for one image
            (lib.mohvit_logits, (owner.num_classes,), np.float32),
            (lib.mohvit_features, (owner.num_features,), np.float32),
            (lib.mohvit_head_tokens, heads, np.int32),
            (lib.mohvit_head_gate_sum, heads, np.float64),
        ]
        if gates:
            all_gates = sum(block.tokens * block.heads for block in owner.layout)
            parts.append((lambda pointer, slot: lib.mohvit_gates(pointer, slot, 0), (all_gates,), np.float32))
        self._parts = [(get, shape, np.dtype(dtype), int(np.prod(shape)) * np.dtype(dtype).itemsize)
                       for get, shape, dtype in parts]

    def run(self, images: Sequence[Any], first: int | None = None, stop: Any = ffi.NULL, trace: Trace | None = None) -> None:
        """Loads and runs as many images as there are. first: the number of the first one among the caller's, who gave but
        one where it is None. An int that turns nonzero at `stop` cancels the run."""
        for slot, image in enumerate(images):
            try:
                pictures.load(self._pointer, slot, image, self._img_size, self._exif_orientation, self._error)
            except (Error, TypeError, ValueError) as error:
                if first is not None:
                    error.args = (f"images[{first + slot}]: {error}",)
                raise
        self._watch.stop = stop
        if trace is None:
            check(lib.mohvit_run(self._pointer, len(images), self._error), self._error)
            return
        handle = ffi.new_handle((trace, first or 0))
        lib.mohvit_set_trace(self._pointer, lib.on_trace, handle)
        try:
            check(lib.mohvit_run(self._pointer, len(images), self._error), self._error)
        finally:
            lib.mohvit_set_trace(self._pointer, ffi.NULL, ffi.NULL)

    def copies(self, n: int) -> Arrays:
        arrays: list[Any] = []
        for get, shape, dtype, size in self._parts:
            array = np.empty((n, *shape), dtype)
            ffi.memmove(array, get(self._pointer, 0), n * size)
            arrays.append(array)
        return Arrays(*arrays)

    def views(self, n: int, keep: Any) -> Arrays:
        """The context's own memory, read-only. The arrays hold `keep`."""
        arrays: list[Any] = []
        for get, shape, dtype, size in self._parts:
            memory = ffi.gc(get(self._pointer, 0), lambda p, keep=keep: None)
            arrays.append(np.ndarray((n, *shape), dtype, ffi.buffer(memory, n * size)))
            arrays[-1].flags.writeable = False
        return Arrays(*arrays)


class Pool:
    """Contexts of a model that no call uses at the moment, so that each call need not allocate its own. What is done to
    the list is one step for all threads, also where a context comes back in the middle of another call."""

    def __init__(self, create: Callable[[int, int, bool], Context], most: int) -> None:
        self._create, self._most = create, most
        self._free: list[Context] = []

    def take(self, batch: int, threads: int, gates: bool) -> Context:
        for context in tuple(self._free):
            if context.kind == (batch, threads, gates):
                try:
                    self._free.remove(context)
                except ValueError:  # another thread was faster
                    continue
                return context
        return self._create(batch, threads, gates)

    def give(self, context: Context) -> None:
        """Memory for more than one image is freed, as whoever has given up the last view of it expects."""
        if context.kind[0] == 1:
            self._free.append(context)
        del self._free[:-self._most]


class Lease:
    """Gives a context back once the last view of it is gone."""

    def __init__(self, pool: Pool, context: Context) -> None:
        self._pool, self.context = pool, context

    def __del__(self) -> None:
        self._pool.give(self.context)
