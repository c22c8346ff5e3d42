"""Models, and what they answer."""

from __future__ import annotations

import itertools
import json
import logging
import os
import sys
import threading
import warnings
from typing import Any, Callable, Iterable, Mapping, NamedTuple, Sequence

import numpy as np
from numpy.typing import NDArray

from . import pictures
from ._mohvit import ffi, lib
from .attributes import Attribute
from .context import (AT_ONCE, PARTS, Answers, Arrays, Block, Context, Lease, Parts, Pool, Trace, Views, Wanted, block_index,
                      read_layout)
from .errors import MismatchError, NonFiniteError, check

_log = logging.getLogger("mohvit")


class Prediction(NamedTuple):
    """A class that an image may be of."""

    class_index: int
    label: str
    prob: float  #: softmax over all classes
    id: str | None  #: WordNet id


class Result:
    """What a model answers about N images. Arrays have the images as their first axis, also for a single image. It can be
    pickled; what comes back has no model, and a HeadLoad takes it that was made of the same model."""

    model = Attribute["Model | None"]("The model that answered; None after unpickling.")
    layout = Attribute["tuple[Block, ...]"]("The attention blocks over all stages.")
    labels = Attribute["list[str]"]("Names of the classes.")
    label_ids = Attribute["list[str | None]"]("WordNet ids of the classes.")
    logits = Attribute["NDArray[np.float32]"]("(N, num_classes): scores before softmax.")
    features = Attribute["NDArray[np.float32]"](
        "(N, num_features): what the classifier scores, for linear probes and nearest neighbours.")
    head_tokens = Attribute["NDArray[np.int32]"](
        "(N, blocks, heads): tokens of the image that selected the head; -1 where a block has fewer heads. Heads count from 0, "
        "the shared ones first.")
    head_gate_sum = Attribute["NDArray[np.float64]"](
        "(N, blocks, heads): the head's final gate, summed over the image's tokens; 0 where a block has fewer.")

    _channels = Attribute["list[int]"]("Of a token, in each block.")

    def __init__(self, model: Model, answers: Answers | Views) -> None:
        self.model = model
        self._answers = answers

    def _attribute(self, name: str) -> Any:
        return self._answers.array(name) if name in PARTS else getattr(self.model, name)

    def __len__(self) -> int:
        return self._answers.images

    def __getstate__(self) -> dict[str, Any]:
        counted_by = self._counted_by  # asks the model
        mine = {name: getattr(self, name) for name in ("layout", "labels", "label_ids", "_channels", *PARTS[:4])}
        return {**vars(self), **mine, "model": None, "_counted_by": counted_by,
                "_answers": Arrays(len(self), {name: self._answers.array(name) for name in PARTS[4:]})}

    @property
    def _counted_by(self) -> Any:
        """What two models must agree in, for their results to be counted together."""
        kept = vars(self).get("_counted_by")
        return self.model._counts() if kept is None and self.model is not None else kept

    def __repr__(self) -> str:
        return f"<mohvit.Result of {len(self)} image{'' if len(self) == 1 else 's'}>"

    def _sums(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """exp(logit - the largest) of every class, and their sums, in the order and precision of the library."""
        wrong = ~np.isfinite(self.logits)
        if wrong.any():
            image, k = np.argwhere(wrong)[0]
            raise NonFiniteError(f"the network answered {self.logits[image, k]} for class {k} of image {image}; "
                                 "expected finite logits")
        logits = self.logits.astype(np.float64)
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return powers, np.cumsum(powers, axis=1)[:, -1:]

    @property
    def probs(self) -> NDArray[np.float32]:
        """(N, num_classes): softmax of the logits. NonFiniteError where one is NaN or infinite."""
        powers, sums = self._sums()
        probs: NDArray[np.float32] = (powers / sums).astype(np.float32)
        return probs

    def top(self, k: int = 5) -> list[list[Prediction]]:
        """For each image its k likeliest classes, the likeliest first; an exact tie goes to the lower class."""
        if k < 1:
            raise ValueError(f"top {k}; expected 1 or more")
        probs, labels, ids = self.probs, self.labels, self.label_ids
        best = np.argsort(-self.logits, axis=1, kind="stable")[:, :k]
        return [[Prediction(int(c), labels[c], float(probs[i, c]), ids[c]) for c in classes]
                for i, classes in enumerate(best)]

    def gates(self, block: int | str) -> NDArray[np.float32]:
        """(N, tokens, heads): the factor of the head's output for the token, 0 where the token did not select it.

        block: index over all stages, or name ("4.2"). Tokens go row by row over the stage's square map. The model must
        have been called with gates=True."""
        return self._of_block("gates", block, [b.heads for b in self.layout])

    def outputs(self, block: int | str) -> NDArray[np.float32]:
        """(N, tokens, channels): the tokens that leave the block, before the norm at the end of a stage.

        block: as for gates. The model must have been called with outputs=True."""
        return self._of_block("outputs", block, self._channels)

    def _of_block(self, what: str, block: int | str, widths: list[int]) -> NDArray[np.float32]:
        array = self._answers.array(what)
        if array is None:
            raise ValueError(f"{what} were not recorded: call the model with {what}=True")
        index, layout = block_index(self.layout, block), self.layout
        first = sum(b.tokens * width for b, width in zip(layout[:index], widths))
        tokens, width = layout[index].tokens, widths[index]
        return array[:, first:first + tokens * width].reshape(-1, tokens, width)


class _Synthetic(NamedTuple):
    variant: str
    seed: int


class _Listener:
    """Hears what the library tells while it opens a model, from any thread."""

    def __init__(self, progress: Callable[[int, int], Any] | None) -> None:
        self.progress = progress
        self.warnings: list[str] = []
        self.notes: list[str] = []
        self.raised: BaseException | None = None

    def tell(self, done: int, total: int) -> int:
        try:
            if self.progress:
                self.progress(done, total)
            return 0
        except BaseException as error:  # it cancels the call, and is raised where that ends
            self.raised = error
            return 1


@ffi.def_extern()
def on_warning(watch: Any, message: Any) -> None:
    ffi.from_handle(ffi.cast("watch *", watch).told).warnings.append(ffi.string(message).decode("utf-8", "replace"))


@ffi.def_extern()
def on_note(watch: Any, message: Any) -> None:
    ffi.from_handle(ffi.cast("watch *", watch).told).notes.append(ffi.string(message).decode("utf-8", "replace"))


class _Opened:
    """A model of the library, and what contexts have to know of it."""

    def __init__(self, pointer: Any) -> None:
        self.pointer = pointer
        error, info = ffi.new("mohvit_error *"), ffi.new("mohvit_info *")
        info.size = ffi.sizeof("mohvit_info")
        check(lib.mohvit_get_info(pointer, info, error), error)
        self.info = info
        self.img_size = info.img_size
        dims = json.loads(_text(lib.mohvit_config_json(pointer)))["embed_dims"]
        self.layout = read_layout(lambda *args: lib.mohvit_get_block(pointer, *args), info.blocks)
        self.channels = [dims[block.stage - 1] for block in self.layout]
        self.parts = {wanted: Parts(info, self.layout, self.channels, wanted)
                      for wanted in ((False, False), (False, True), (True, False), (True, True))}


def _stack_level() -> int:
    """Of the first caller outside of this package, for warnings."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] == __package__:
        level, frame = level + 1, frame.f_back
    return level


def _json(value: Any) -> bytes:
    """Where it has arrays and numbers of numpy, these are lists and numbers."""
    whole = dict(value) if isinstance(value, Mapping) else list(value)
    return json.dumps(whole, default=lambda part: np.asarray(part).tolist()).encode()


def _safetensors(tensors: Mapping[str, Any]) -> bytes:
    """A checkpoint in memory."""
    if not isinstance(tensors, Mapping):
        raise TypeError(f"expected a state_dict, as network.state_dict() gives it; found {type(tensors).__name__}")
    arrays: list[Any] = []
    header, end = {}, 0
    for name, tensor in tensors.items():
        if hasattr(tensor, "detach"):  # of PyTorch
            tensor = tensor.detach().cpu()
            tensor = tensor.float() if tensor.is_floating_point() else tensor
        array = np.ascontiguousarray(tensor).reshape(np.shape(tensor))  # the first turns numbers into vectors
        kind = {"f4": "F32", "f2": "F16", "i8": "I64"}.get(array.dtype.str[1:])
        if kind is None:
            array, kind = array.astype(np.float32), "F32"
        arrays.append(array.astype(array.dtype.newbyteorder("<"), copy=False))
        header[name] = {"dtype": kind, "shape": array.shape, "data_offsets": (end, end + array.nbytes)}
        end += array.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return b"".join([len(text).to_bytes(8, "little"), text, *arrays])


class Model:
    """A MoH-ViT or TransNeXt that classifies images. Any number of threads may call one model, and a forked child may go
    on with it.

    path: a checkpoint, .safetensors or .pth, told apart by content; its bytes; or None for the built-in model, which
    knows ten kinds of clothing.

    key: weight set of a .pth ("model", "model_ema"), or what stands before the tensors' names ("student").
    config, preprocess: a path of a JSON file, or what it would hold; in place of the checkpoint's own. What a dict of
    preprocessing lacks stays the checkpoint's, what a file lacks is ImageNet's.
    labels: a path of a label file, or a list of names.
    img_size: side of the square input in pixels.
    backend: "auto", "native" or "openblas". precision: "auto", "f32", "bf16", "int8" or "f16".
    routed_heads: how many of the routed heads a token picks (top-k): K heads, or "P%" of them; as trained where None.
    threads: used while loading and running; None: as many as this process is granted.
    exif_orientation: turn pictures as their EXIF says; the reference does not.
    max_file_bytes, max_pixels: pictures that are larger are refused.
    progress: called as progress(done, total) while the checkpoint is read, perhaps from another thread. What it raises
    ends the loading.

    Warnings of the library are issued by `warnings`; notes on how a checkpoint was understood go to the logger "mohvit".
    """

    variant = Attribute[str]('Published name, or "custom".')
    img_size = Attribute[int]("Side of the square input, pixels.")
    num_classes = Attribute[int]("Number of classes.")
    num_features = Attribute[int]("Length of an image's features.")
    parameters = Attribute[int]("Number of weights.")
    gmacs = Attribute[float]("10^9 multiply-adds for one image with all heads.")
    gmacs_routed = Attribute[float]("The same as this model performs them, heads that were not selected skipped.")
    active_heads_percent = Attribute[float]("Heads that are on for a token, of all heads.")
    backend = Attribute[str]('Whose matrix products: "native" or "openblas".')
    precision = Attribute[str]('In what they compute: "f32", "bf16", "int8" or "f16".')
    instruction_set = Attribute[str]('Of the processor, such as "avx2".')
    threads = Attribute[int]("Threads that a call uses.")
    layout = Attribute["tuple[Block, ...]"]("The attention blocks over all stages.")
    labels = Attribute["list[str]"]("Names of the classes.")
    label_ids = Attribute["list[str | None]"]("WordNet ids of the classes.")
    config = Attribute["dict[str, Any]"]("What the network is made of, as the program's JSON has it.")
    preprocess = Attribute["dict[str, Any]"](
        "How pictures become tensors: mean, std, interpolation, and crop_pct where the model has one. Without it the crop is from "
        "8/7 of img_size; from 384 pixels on both sides become img_size.")
    provenance = Attribute["dict[str, Any]"]("What results depend on: weights_hash, kernels, ...")

    def __init__(self, path: str | os.PathLike[str] | bytes | None = None, *, key: str | None = None,
                 config: str | os.PathLike[str] | Mapping[str, Any] | None = None,
                 labels: str | os.PathLike[str] | Sequence[str] | None = None,
                 preprocess: str | os.PathLike[str] | Mapping[str, Any] | None = None, img_size: int | None = None,
                 backend: str = "auto", precision: str = "auto", routed_heads: int | str | None = None,
                 threads: int | None = None, exif_orientation: bool = False, max_file_bytes: int = 0, max_pixels: int = 0,
                 progress: Callable[[int, int], Any] | None = None) -> None:
        listener = _Listener(progress)
        options, keep = ffi.new("mohvit_options *"), []
        options.size = ffi.sizeof("mohvit_options")
        options.backend, options.precision = _by_name("backend", backend), _by_name("precision", precision)
        options.img_size, options.threads = img_size or 0, threads or 0
        texts = {name: pictures.text_bytes(value) for name, value in (("key", key), ("routed_heads", routed_heads))
                 if value is not None}
        files = {"config": config, "labels": labels, "preprocess": preprocess}
        for name, value in files.items():
            if isinstance(value, (str, os.PathLike)):
                texts[name] = pictures.path_bytes(value)
            elif value is not None:
                texts[name + "_json"] = _json(value)
        for name, text in texts.items():
            keep.append(ffi.new("char[]", text))
            setattr(options, name, keep[-1])
        opened = _Opened(_open(path, options, listener, files.values()))
        for message in listener.notes:
            _log.info("%s", message)
        for message in listener.warnings:
            warnings.warn(message, stacklevel=_stack_level())
        images = ffi.new("mohvit_image_options *", {"size": ffi.sizeof("mohvit_image_options"), "max_pixels": max_pixels,
                                                    "max_file_bytes": max_file_bytes, "exif_orientation": exif_orientation})
        self._take(opened, threads or lib.mohvit_default_threads(), images)

    def _take(self, opened: _Opened, threads: int, image_options: Any) -> None:
        self._opened, self.threads, self._image_options = opened, threads, image_options
        self._pool = Pool(lambda batch, threads, wanted: Context(opened, batch, threads, wanted, image_options), threads + 1)
        pointer, info = opened.pointer, opened.info
        for name in ("img_size", "num_classes", "parameters", "gmacs", "gmacs_routed", "active_heads_percent"):
            setattr(self, name, getattr(info, name))
        self.variant, self.instruction_set = _text(info.variant), _text(info.instruction_set)
        self.backend = _text(lib.mohvit_backend_name(info.backend))
        self.precision = _text(lib.mohvit_precision_name(info.precision))
        self.num_features, self.layout, self._channels = info.features, opened.layout, opened.channels
        self.labels = [_text(lib.mohvit_label(pointer, k)) for k in range(self.num_classes)]
        ids = [lib.mohvit_label_id(pointer, k) for k in range(self.num_classes)]
        self.label_ids = [_text(i) if i else None for i in ids]
        self.config = json.loads(_text(lib.mohvit_config_json(pointer)))
        self.preprocess = json.loads(_text(lib.mohvit_preprocess_json(pointer)))
        self.provenance = json.loads(_text(lib.mohvit_provenance_json(pointer)))

    def _counts(self) -> Any:
        return self.provenance, self.labels, self.label_ids, bool(self._image_options.exif_orientation)

    @classmethod
    def from_state_dict(cls, tensors: Mapping[str, Any], **options: Any) -> Model:
        """A model of weights in memory, such as the state_dict() of one that is being trained, under the published names.
        Its values are copied. Options are those of Model; config describes a model that is not a published one."""
        return cls(_safetensors(tensors), **options)

    @classmethod
    def synthetic(cls, variant: str, seed: int = 0, **options: Any) -> Model:
        """A published variant with deterministic weights that mean nothing, for tests and timings without a download."""
        return cls(_Synthetic(variant, seed), **options)  # type: ignore[arg-type]

    def reroute(self, routed_heads: int | str | None) -> Model:
        """A model that differs in routed_heads alone, and shares this one's weights. None: as this one."""
        return self._derived(lib.mohvit_reroute, routed_heads)

    def drop_heads(self, heads: str | None, *, renormalise: bool = False) -> Model:
        """A model that differs in what it drops alone, and shares this one's weights: the gates of these heads are 0, and
        the router chooses as before. heads: "4.0:r3,r5 3.1:s1", a block "4.0", a stage "4", "routed", "shared"; None: none.
        renormalise: a token's other gates grow, so that they add up to what all did."""
        return self._derived(lib.mohvit_drop_heads, heads, renormalise)

    def _derived(self, make: Callable[..., int], text: int | str | None, *more: Any) -> Model:
        out, error = ffi.new("mohvit_model **"), ffi.new("mohvit_error *")
        value = ffi.NULL if text is None else pictures.text_bytes(text)
        check(make(out, self._opened.pointer, value, *more, error), error)
        model = type(self).__new__(type(self))
        model._take(_Opened(ffi.gc(out[0], lib.mohvit_close)), self.threads, self._image_options)
        return model

    def __repr__(self) -> str:
        dropped = self.provenance.get("dropped_heads")
        without = f" without {dropped}" if dropped else ""
        renormalised = ", renormalised" if self.provenance.get("renormalise") else ""
        return (f"<mohvit.Model {self.variant}{without}{renormalised}: {self.active_heads_percent:.4g} % of heads active, "
                f"{self.num_classes} classes, {self.img_size} pixels, {self.precision}, {self.backend}, {self.instruction_set}>")

    def __call__(self, images: Any, *, gates: bool = False, outputs: bool = False, copy: bool = True,
                 trace: Trace | None = None) -> Result:
        """Classifies an image, or any number of them.

        An image is a path, the bytes of a file (JPEG, PNG, WebP; HEIC and AVIF where the library has them), a PIL image,
        uint8 pixels (height, width, 3) of any strides, or a tensor that is ready: float32 (3, img_size, img_size), resized
        and normalised. Several are an iterable of these, or an array with one more axis in front. Answers are bitwise the
        same alone and in any company; several images are decoded and run on all threads at once. An iterator is read
        some images at a time, in the thread that calls.

        gates: record each token's gates for Result.gates. outputs: record the tokens that leave each block for Result.outputs.
        copy: False has the result's arrays look into the memory that the images were run in, read-only. Nothing else uses
        that memory until the last of these arrays is gone, and it takes many times the room of the arrays: some 10 MB an
        image for a small model at 224 pixels.
        trace: called as trace(image, block, x) after each block of each image, in the thread that calls, with the tokens that
        leave the block: x (tokens, channels), row by row over the stage's square map, the caller's to keep. Images then run
        one after the other. What it raises ends the call."""
        wanted = (bool(gates), bool(outputs))
        parts = self._opened.parts[wanted]
        if type(images) is np.ndarray and images.ndim == 3 and copy and trace is None:  # what may come in quick succession
            context, answers = self._pool.take(1, self.threads, wanted), Answers(parts, 1)
            try:
                context.run_array(images, answers)
            finally:
                self._pool.give(context)
            return Result(self, answers)
        images = pictures.split(images)
        if not copy:
            return Result(self, self._run_in_place(list(images), wanted, trace))
        if isinstance(images, (list, tuple)):
            answers = Answers(parts, len(images))
            self._run_each(images, answers, 0, wanted, trace)
            return Result(self, answers)
        images, portions, first = iter(images), [], 0
        while some := list(itertools.islice(images, 2 * AT_ONCE * self.threads)):
            portions.append(Answers(parts, len(some)))
            self._run_each(some, portions[-1], first, wanted, trace)
            first += len(some)
        return Result(self, portions[0] if len(portions) == 1 else Answers.joined(parts, portions))

    def _run_in_place(self, images: list[Any], wanted: Wanted, trace: Trace | None) -> Answers | Views:
        if not images:
            return Answers(self._opened.parts[wanted], 0)
        context = self._pool.take(len(images), self.threads, wanted)
        lease = Lease(self._pool, context)
        context.run(images, first=0 if len(images) > 1 else None, trace=trace)
        return Views(lease, len(images))

    def _run_each(self, images: Sequence[Any], answers: Answers, first: int, wanted: Wanted, trace: Trace | None) -> None:
        """Each image alone: as many side by side as there are threads, or where there are fewer images one after the other,
        on all threads. first: the number of the first one, for messages."""
        if len(images) == 1:
            context = self._pool.take(1, self.threads, wanted)
            try:
                context.run(images, answers, first=first or None, trace=trace)
            finally:
                self._pool.give(context)
            return
        side_by_side = self.threads if len(images) >= self.threads and trace is None else 1
        contexts = [self._pool.take(1, self.threads // side_by_side, wanted) for _ in range(side_by_side)]
        most = 1 if trace is not None or any(map(pictures.is_pil, images)) else AT_ONCE  # of PIL the pixels are copied
        left = iter(_shares(len(images), side_by_side, most))  # a step of it is one step for all threads
        failures: dict[int, BaseException] = {}  # by image; -1: of a signal
        stop = ffi.new("int *")

        def work(context: Context) -> None:
            for at, end in left:
                if stop[0] or failures:  # whatever is left comes after what failed
                    return
                try:
                    context.run(images[at:end], answers, at, first, stop, trace)
                except Exception as error:
                    failures[context.failed] = error
                except BaseException as error:
                    failures[-1] = error
                    stop[0] = 1

        others = [threading.Thread(target=work, args=(context,)) for context in contexts[1:]]
        try:
            for thread in others:
                thread.start()
            work(contexts[0])
            for thread in others:
                thread.join()
        except BaseException:  # of a signal, or a thread that cannot start
            stop[0] = 1
            for thread in others:
                if thread.is_alive():
                    thread.join()
            raise
        for context in contexts:
            self._pool.give(context)
        if not failures:
            return
        try:
            raise failures[min(failures)]
        finally:
            failures.clear()  # or exception and frame hold each other, and the contexts


def _shares(n: int, threads: int, most: int) -> list[tuple[int, int]]:
    """Images that a thread takes at a time, as (first, end): fewer towards the end, so that all threads end together."""
    shares, at = [], 0
    while at < n:
        end = at + max(1, min(most, (n - at) // (4 * threads)))
        shares.append((at, end))
        at = end
    return shares


def _text(string: Any) -> str:
    return str(ffi.string(string), "utf-8", "replace")


def _by_name(what: str, name: str) -> int:
    value, error = ffi.new(f"mohvit_{what} *"), ffi.new("mohvit_error *")
    check(getattr(lib, f"mohvit_{what}_by_name")(value, pictures.text_bytes(name), error), error)
    return int(value[0])


def _open(path: Any, options: Any, listener: _Listener, files: Iterable[Any]) -> Any:
    """A new model of the library, closed once nothing holds it any more. files: what else may be missing."""
    out, error, watch = ffi.new("mohvit_model **"), ffi.new("mohvit_error *"), ffi.new("watch *")
    watch.told = handle = ffi.new_handle(listener)
    options.user, options.progress = watch, ffi.addressof(lib, "watch_progress")
    options.warn, options.note = lib.on_warning, lib.on_note
    if path is None:
        status = lib.mohvit_open(out, ffi.NULL, options, error)
    elif isinstance(path, _Synthetic):
        status = lib.mohvit_open_synthetic(out, pictures.text_bytes(path.variant), path.seed, options, error)
    elif pictures.is_encoded(path):
        with ffi.from_buffer(path) as data:
            status = lib.mohvit_open_memory(out, data, len(data), options, error)
    else:
        status = lib.mohvit_open(out, pictures.path_bytes(path), options, error)
    del handle  # it had to live until here
    model = None if status else ffi.gc(out[0], lib.mohvit_close)  # also where a callback raised at the very end
    if listener.raised is not None:
        raise listener.raised
    try:
        check(status, error, path, *files)
    except MismatchError as wrong:
        wrong.args = (str(wrong).replace("give a config file", "give its config=, a file or a dict"),)
        raise
    return model
