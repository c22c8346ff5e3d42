"""Contexts: the memory that images are run in, lent by a model to one call at a time."""

from __future__ import annotations

from typing import Any, Callable, NamedTuple, NoReturn, Sequence, Tuple

import numpy as np
from numpy.typing import NDArray

from . import pictures
from ._mohvit import ffi, lib
from .errors import Error, check, keep_raised

AT_ONCE = 16  # images that a thread runs without a step of Python between them


class Block(NamedTuple):
    """An attention block, and how many of its heads work for a token.

    name: for people, "4.2" is block 2 of stage 4. stage: from 1. block: in its stage, from 0. tokens: of one image.
    heads: shared ones first. shared: heads that are always on; all of them where routed is 0. routed: top-k, how many of the
    others, the routed heads, each token selects."""

    name: str  #: for people: "4.2" is block 2 of stage 4
    stage: int  #: from 1
    block: int  #: in its stage, from 0
    tokens: int  #: of one image
    heads: int
    shared: int  #: heads that are always on, the first ones; all of them where routed is 0
    routed: int  #: top-k: heads that each token selects of the others, the routed heads

    @property
    def candidates(self) -> int:
        """How many routed heads there are, of which a token selects `routed`."""
        return self.heads - self.shared


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


Wanted = Tuple[bool, bool]  # gates, outputs
PARTS = ("head_gate_sum", "logits", "features", "head_tokens", "gates", "outputs")  # the last two where they are wanted


class Part(NamedTuple):
    """An array of what a model answers, whose first axis are the images."""

    name: str  # as calls.h has it
    get: Any  # where a context has it
    shape: tuple[int, ...]  # of an image
    dtype: Any
    size: int  # bytes of an image


class Parts:
    """What a context answers, in the order of calls.h."""

    def __init__(self, info: Any, layout: tuple[Block, ...], channels: list[int], wanted: Wanted) -> None:
        heads = (info.blocks, info.max_heads)
        parts: list[tuple[str, Any, tuple[int, ...], Any]] = [
            ("head_gate_sum", lib.mohvit_head_gate_sum, heads, np.float64),
            ("logits", lib.mohvit_logits, (info.num_classes,), np.float32),
            ("features", lib.mohvit_features, (info.features,), np.float32),
            ("head_tokens", lib.mohvit_head_tokens, heads, np.int32),
        ]
        if wanted[0]:  # of all blocks, one behind the other
            pairs = sum(block.tokens * block.heads for block in layout)
            parts.append(("gates", lambda context, slot: lib.mohvit_gates(context, slot, 0), (pairs,), np.float32))
        if wanted[1]:
            floats = sum(block.tokens * width for block, width in zip(layout, channels))
            parts.append(("outputs", lambda context, slot: lib.mohvit_outputs(context, slot, 0, ffi.NULL), (floats,), np.float32))
        self.list = [Part(name, get, shape, np.dtype(dtype), int(np.prod(shape)) * np.dtype(dtype).itemsize)
                     for name, get, shape, dtype in parts]
        self.size = sum(part.size for part in self.list)


_BYTES = ffi.typeof("char[]")


class Answers:
    """What a model answers about n images, copied to one piece of memory, of which arrays are made when they are asked for:
    to make them takes longer than to copy them."""

    __slots__ = "_parts", "images", "memory"

    def __init__(self, parts: Parts, n: int) -> None:
        self._parts, self.images, self.memory = parts, n, ffi.new(_BYTES, n * parts.size)

    @classmethod
    def joined(cls, parts: Parts, portions: list[Answers]) -> Answers:
        """One behind the other."""
        whole, first = cls(parts, sum(portion.images for portion in portions)), 0
        for portion in portions:
            for part in parts.list:
                to: Any = whole.array(part.name)
                to[first:first + portion.images] = portion.array(part.name)
            first += portion.images
        return whole

    def array(self, name: str) -> NDArray[Any] | None:
        """None where it was not recorded."""
        first = 0
        for part in self._parts.list:
            if part.name == name:
                return np.ndarray((self.images, *part.shape), part.dtype, ffi.buffer(self.memory), first)
            first += self.images * part.size
        return None


class Arrays(NamedTuple):
    """The same after unpickling."""

    images: int
    arrays: dict[str, Any]

    def array(self, name: str) -> NDArray[Any] | None:
        array: NDArray[Any] | None = self.arrays[name]
        return array


class Views:
    """The same in the context's own memory, read-only. The arrays hold the lease."""

    def __init__(self, lease: Lease, n: int) -> None:
        self._lease, self.images = lease, n

    def array(self, name: str) -> NDArray[Any] | None:
        lease = self._lease
        for part in lease.context.parts.list:
            if part.name == name:
                memory = ffi.gc(part.get(lease.context.pointer, 0), lambda p, keep=lease: None)
                array: NDArray[Any] = np.ndarray((self.images, *part.shape), part.dtype,
                                                 ffi.buffer(memory, self.images * part.size))
                array.flags.writeable = False
                return array
        return None


Trace = Callable[[int, int, NDArray[np.float32]], Any]  # (image, block, tokens that leave it)


@ffi.def_extern(error=1, onerror=keep_raised)
def on_trace(of: Any, slot: int, block: int, x: Any, tokens: int, channels: int) -> int:
    trace, first = ffi.from_handle(of)
    memory = bytearray(ffi.buffer(x, 4 * tokens * channels))
    trace(first + slot, block, np.frombuffer(memory, np.float32).reshape(tokens, channels))
    return 0


class Context:
    """One caller at a time. Holds the model for as long as it lives itself."""

    def __init__(self, owner: Any, batch: int, threads: int, wanted: Wanted, image_options: Any) -> None:
        self.kind = (batch, threads, wanted)
        self.parts = owner.parts[wanted]
        self._pictures = ffi.new("picture[]", max(batch, AT_ONCE))
        self._call = ffi.new("call *", {"pictures": self._pictures, **{part.name: part.size for part in self.parts.list}})
        self._error, out = ffi.addressof(self._call, "err"), ffi.new("mohvit_context **")
        check(lib.mohvit_context_create(out, owner.pointer, batch, threads, self._error), self._error)
        destroy = lib.mohvit_context_destroy
        self.pointer = ffi.gc(out[0], lambda p, owner=owner: destroy(p))  # which has the model closed afterwards
        self._call.ctx = self.pointer
        check(lib.mohvit_set_image_options(self.pointer, image_options, self._error), self._error)
        check(lib.mohvit_record_gates(self.pointer, wanted[0], self._error), self._error)
        check(lib.mohvit_record_outputs(self.pointer, wanted[1], self._error), self._error)
        lib.mohvit_set_progress(self.pointer, ffi.addressof(lib, "watch_progress"), ffi.addressof(self._call, "watch"))
        self._img_size, self._exif_orientation = owner.img_size, bool(image_options.exif_orientation)
        self._traced: Any = None  # handle of the trace
        self.failed = 0  # the image to which an exception of a run belongs, by its number

    def run(self, images: Sequence[Any], answers: Answers | None = None, at: int = 0, first: int | None = None,
            stop: Any = ffi.NULL, trace: Trace | None = None) -> None:
        """Runs images one by one, and copies what the model answers about them, AT_ONCE at most; or, without answers, all
        together, in as many slots. at: the place of the first one among the answers. first: the number of the first of the
        answers among the caller's images, who gave but one where it is None. An int that turns nonzero at `stop` cancels
        the run."""
        kept, wrong = [], None  # what must live until the images are loaded
        for image, picture in zip(images, self._pictures):
            try:
                kept.append(pictures.describe(picture, image, self._img_size, self._exif_orientation))
            except Exception as error:
                wrong = error
                if answers is None:
                    self._blame(wrong, len(kept), first)
                break  # those before it are still run: the first one that fails is told
        if trace is not None or self._traced is not None:
            self._set_trace(trace, (first or 0) + at)
        if answers is None:
            status = lib.run_together(self._call, len(kept))
        else:
            status = lib.run_each(self._call, len(kept), answers.memory, answers.images, at, stop)
        if trace is not None:
            self._set_trace(None, 0)
        if status:
            try:
                failed = self._call.at - at
                check(status, self._error, *images[failed:failed + 1])
            except Exception as error:
                self._blame(error, self._call.at, first)
        if wrong is not None:
            self._blame(wrong, at + len(kept), first)

    def run_array(self, image: NDArray[Any], answers: Answers) -> None:
        """The same for a single array, in fewer steps."""
        kept = pictures.describe_array(self._pictures[0], image, image, self._img_size)
        status = lib.run_each(self._call, 1, answers.memory, 1, 0, ffi.NULL)
        if status:
            check(status, self._error)
        del kept

    def _set_trace(self, trace: Trace | None, first: int) -> None:
        """What a signal may interrupt anywhere: the library never has a handle that nothing holds."""
        if trace is None:
            lib.mohvit_set_trace(self.pointer, ffi.NULL, ffi.NULL)
            self._traced = None
        else:
            self._traced = ffi.new_handle((trace, first))
            lib.mohvit_set_trace(self.pointer, lib.on_trace, self._traced)

    def _blame(self, error: Exception, image: int, first: int | None) -> NoReturn:
        """Raises what went wrong with an image, by its place among the answers."""
        self.failed = image + (first or 0)
        if first is not None and isinstance(error, (Error, TypeError, ValueError)):
            error.args = (f"images[{self.failed}]: {error}",)
        raise error


class Pool:
    """Contexts of a model that no call uses at the moment, so that each call need not allocate its own. What is done to
    the list is one step for all threads, also where a context comes back in the middle of another call."""

    def __init__(self, create: Callable[[int, int, Wanted], Context], most: int) -> None:
        self._create, self._most = create, most
        self._free: list[Context] = []

    def take(self, batch: int, threads: int, wanted: Wanted) -> Context:
        kind = (batch, threads, wanted)
        for _ in range(len(self._free)):
            try:
                context = self._free.pop()
            except IndexError:  # another thread was faster
                break
            if context.kind == kind:
                return context
            self._free.insert(0, context)
        return self._create(batch, threads, wanted)

    def give(self, context: Context) -> None:
        """Memory for more than one image is freed, as whoever has given up the last view of it expects."""
        if context.kind[0] == 1:
            self._free.append(context)
        if len(self._free) > self._most:
            del self._free[:-self._most]


class Lease:
    """Gives a context back once the last view of it is gone."""

    def __init__(self, pool: Pool, context: Context) -> None:
        self._pool, self.context = pool, context

    def __del__(self) -> None:
        self._pool.give(self.context)
