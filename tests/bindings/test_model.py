#!/usr/bin/python3
"""Models and their answers: the same bits as the program's, for whatever an image may be."""

import errno
import io
import json
import logging
import os
import pathlib
import pickle
import pydoc
import subprocess
import tempfile
import threading
import unittest
import warnings

import numpy as np
from PIL import Image

import mohvit
from support import BUILT_IN, GOLDEN, ROOT, SAMPLES, Suite, load_safetensors, read

SNEAKER = next(path for path in SAMPLES if path.endswith("sneaker.png"))
PHOTOS = [os.path.join(GOLDEN, "images", name) for name in ("cat_420.jpg", "coffee.png", "rocket_wide_640x64.jpg",
                                                            "cat_palette.png", "cat_gray.png")]


class Tensor:
    """Of float64, as PyTorch has them."""
    dtype = "torch.float64"

    def __init__(self, array):
        self.array = array

    def detach(self):
        return self

    def cpu(self):
        return self

    def __array__(self, dtype=None):
        return self.array


class Images(Suite):
    def test_answers_are_the_program_s(self):
        paths = SAMPLES + PHOTOS
        rows = mohvit.run_cli("classify", "--top", "10", *paths)
        for row, top in zip(rows, self.model(paths).top(10)):
            self.assertEqual([(t["class"], t["label"], t["id"], np.float32(t["prob"])) for t in row["top"]],
                             [(p.class_index, p.label, p.id, np.float32(p.prob)) for p in top])

    def test_every_kind_of_image_gives_the_same_bits(self):
        for path in (SNEAKER, PHOTOS[1]):
            expected, data = self.model(path), read(path)
            pixels = np.asarray(Image.open(path).convert("RGB"))
            for image in (pathlib.Path(path), os.fsencode(path).decode(), data, bytearray(data), memoryview(data),
                          Image.open(io.BytesIO(data)), pixels, pixels[None], [path], (path,), iter([path]), {path},
                          np.array([path]), np.array([path], object), np.str_(path), np.bytes_(data)):
                self.same(self.model(image), expected)

    def test_any_company_gives_the_same_bits(self):
        model, paths = mohvit.Model(threads=2), SAMPLES * 9  # more than an iterator's portion
        expected = [self.model(path) for path in SAMPLES]
        for result in (model(paths), model(iter(paths)), model(tuple(paths)), model(paths, copy=False),
                       mohvit.Model(threads=1)(paths), mohvit.Model(threads=5)(iter(paths))):
            self.assertEqual(len(result), len(paths))
            for name in ("logits", "features", "head_tokens", "head_gate_sum"):
                np.testing.assert_array_equal(getattr(result, name),
                                              np.concatenate([getattr(e, name) for e in expected] * 9), name)

    def test_an_iterator_is_read_by_the_caller_a_portion_at_a_time(self):
        taken, me = [], threading.get_ident()

        def images():
            for i in range(100 * self.model.threads):
                taken.append(threading.get_ident())
                yield SNEAKER if i < 40 * self.model.threads else b"no picture"
        with self.assertRaisesRegex(mohvit.FormatError, rf"^images\[{40 * self.model.threads}\]: "):
            self.model(images())
        self.assertEqual(set(taken), {me})
        self.assertEqual(len(taken), 64 * self.model.threads)

    def test_pixels_of_any_strides(self):
        pixels = np.random.default_rng(1).integers(0, 256, (40, 50, 3), np.uint8)
        expected = self.model(np.ascontiguousarray(pixels))
        padded = np.zeros((40, 60, 3), np.uint8)
        padded[:, 5:55] = pixels
        wide = np.zeros((80, 100, 6), np.uint8)
        wide[::2, ::2, ::2] = pixels
        upside_down = np.ascontiguousarray(pixels[::-1, ::-1, ::-1])
        readonly = pixels.copy()
        readonly.flags.writeable = False
        for same in (padded[:, 5:55], wide[::2, ::2, ::2], np.asfortranarray(pixels), upside_down[::-1, ::-1, ::-1],
                     np.ascontiguousarray(pixels.transpose(2, 0, 1)).transpose(1, 2, 0), readonly):
            self.same(self.model(same), expected)
        row = pixels[:1]
        self.same(self.model(np.ascontiguousarray(row[::-1])[::-1]), self.model(row.copy()))
        one = np.broadcast_to(pixels[:1, :1], (8, 9, 3))
        self.same(self.model(one), self.model(one.copy()))
        batch = np.stack([pixels, pixels[::-1]])
        for view in (batch, np.asfortranarray(batch)):
            np.testing.assert_array_equal(self.model(view).logits[0], expected.logits[0])
            np.testing.assert_array_equal(self.model(view).logits[1], self.model(pixels[::-1]).logits[0])

    def test_deep_images_of_pil(self):
        deep = np.random.default_rng(4).integers(0, 65536, (20, 30), np.uint16)
        expected = self.model(np.repeat((deep >> 8).astype(np.uint8)[..., None], 3, axis=-1))
        file = io.BytesIO()
        Image.fromarray(deep).save(file, "PNG")
        self.same(self.model(file.getvalue()), expected)
        self.same(self.model(Image.open(file)), expected)
        self.same(self.model(Image.fromarray(deep)), expected)
        for image in (Image.fromarray(deep.astype(np.int32)), Image.fromarray(deep.astype(np.float32))):
            with self.assertRaisesRegex(TypeError, f"Image of mode {image.mode}; expected 8 bits"):
                self.model(image)

    def test_tensors_are_taken_as_they_are(self):
        size, p = self.model.img_size, self.model.preprocess
        pixels = np.random.default_rng(2).integers(0, 256, (size, size, 3), np.uint8)
        expected = self.model(pixels)  # of that size it is only normalised
        tensor = ((pixels.astype(np.float32) / 255 - np.float32(p["mean"])) / np.float32(p["std"])).transpose(2, 0, 1)
        np.testing.assert_allclose(self.model(tensor).logits, expected.logits, rtol=0, atol=1e-4)
        contiguous = np.ascontiguousarray(tensor)
        self.same(self.model(contiguous), self.model(tensor))
        self.same(self.model(np.stack([tensor] * 3)), self.model([contiguous] * 3))

    def test_other_images_are_refused(self):
        size = self.model.img_size
        for image, kind, message in (
                (np.zeros((5, 6), np.uint8), ValueError, r"^uint8 of shape \(5, 6\); expected \(height, width, 3\)"),
                (np.zeros((5, 6, 4), np.uint8), ValueError, r"\(5, 6, 4\)"),
                (np.zeros((2, 5, 6, 1), np.uint8), ValueError, r"^images\[0\]: uint8 of shape \(5, 6, 1\)"),
                (np.zeros((2, 2, 5, 6, 3), np.uint8), ValueError, r"\(2, 2, 5, 6, 3\)"),
                (np.zeros((0, 6, 3), np.uint8), ValueError, "0"),
                (np.zeros((size, size, 3), np.float32), ValueError, rf"expected \(3, {size}, {size}\)"),
                (np.zeros((3, size, size)), TypeError, r"float64; .*: convert it by \.astype\(np\.float32\)$"),
                (Tensor(np.zeros((3, size, size))), TypeError, r"^Tensor of torch\.float64; .*: convert it by \.float\(\)$"),
                (np.zeros((7, 28, 28), np.uint8), ValueError,
                 r"\(7, 28, 28\); .*: gray ones by np\.repeat\(images\[\.\.\., None\], 3, axis=-1\)$"),
                (np.zeros((28, 28), np.uint8), ValueError, r"np\.repeat\(images\[\.\.\., None\], 3, axis=-1\)$"),
                (np.zeros((28, 28, 1), np.uint8), ValueError, r"np\.repeat\(images, 3, axis=-1\)$"),
                (np.zeros((3, 28, 28), np.uint8), ValueError, r"np\.moveaxis\(image, 0, -1\)$"),
                (np.zeros((5, 6, 3), np.int32), TypeError, "int32"),
                (np.float32(1), ValueError, "shape"),
                ([SNEAKER, [SNEAKER]], TypeError, r"^images\[1\]: list of"),
                ([None], TypeError, "NoneType"),
                (7, TypeError, "^int; expected a path"),
                (None, TypeError, "^NoneType; expected a path"),
                (io.BytesIO(b"x"), TypeError, "^BytesIO; expected a path"),
                ({"image": SAMPLES[0]}, TypeError, "^dict; expected a path"),
                (b"", mohvit.FormatError, "^picture in memory"),
                ("not there.png", mohvit.FileError, "not there.png"),
                ("a\0b.png", ValueError, "zero byte"),
                ([SNEAKER] * 4 + ["gone.png"], FileNotFoundError, r"^images\[4\]: gone.png: "),
        ):
            with self.subTest(message), self.assertRaisesRegex(kind, message):
                self.model(image)
            with self.subTest(message), self.assertRaisesRegex(kind, message):
                self.model(image, copy=False)
            self.assertEqual(self.model(SNEAKER).top(1)[0][0].label, "Sneaker")  # goes on

    def test_nothing_is_answered_by_nothing(self):
        for copy in (True, False):
            result = self.model([], gates=True, copy=copy)
            self.assertEqual((len(result), result.logits.shape, result.head_tokens.shape, result.top(3), result.probs.shape),
                             (0, (0, 10), (0, 6, 16), [], (0, 10)))
            self.assertEqual(result.gates("4.0").shape, (0, 4, 16))


class Results(Suite):
    def test_what_a_result_holds(self):
        model, result = self.model, self.model(SAMPLES, gates=True)
        n, blocks, heads = len(SAMPLES), len(model.layout), max(b.heads for b in model.layout)
        self.assertEqual([(a.dtype, a.shape) for a in (result.logits, result.probs, result.features, result.head_tokens,
                                                       result.head_gate_sum)],
                         [(np.float32, (n, 10)), (np.float32, (n, 10)), (np.float32, (n, model.num_features)),
                          (np.int32, (n, blocks, heads)), (np.float64, (n, blocks, heads))])
        np.testing.assert_allclose(result.probs.sum(axis=1), 1, rtol=1e-6)
        self.assertEqual([[p.class_index for p in top] for top in result.top(10)],
                         np.argsort(-result.probs, axis=1, kind="stable").tolist())
        self.assertEqual([len(top) for top in result.top(99)], [10] * n)
        self.assertIs(result.model, model)
        self.assertIn("8 images", repr(result))
        with self.assertRaises(ValueError):
            result.top(0)

    def test_outputs_are_what_a_trace_sees(self):
        seen = {}
        self.model(SAMPLES, trace=lambda image, block, x: seen.update({(image, block): x}))
        for result in (self.model(SAMPLES, outputs=True), self.model(SAMPLES, outputs=True, gates=True, copy=False)):
            for i, block in enumerate(self.model.layout):
                x = result.outputs(block.name)
                self.assertEqual((x.dtype, x.shape), (np.float32, (len(SAMPLES), block.tokens, self.model.config["embed_dims"][block.stage - 1])))
                np.testing.assert_array_equal(x, np.stack([seen[image, i] for image in range(len(SAMPLES))]))
            self.same(result, self.model(SAMPLES))
        with self.assertRaisesRegex(ValueError, "outputs=True"):
            self.model(SNEAKER).outputs(0)

    def test_results_can_be_pickled(self):
        for result in (self.model(SAMPLES, gates=True), self.model(SAMPLES, gates=True, copy=False)):
            again = pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(result))))
            self.same(again, result)
            self.assertEqual((len(again), again.model, again.layout, again.top(3)), (8, None, self.model.layout, result.top(3)))
            np.testing.assert_array_equal(again.gates("4.0"), result.gates("4.0"))
            with self.assertRaisesRegex(ValueError, "outputs=True"):
                again.outputs(0)

    def test_gates_agree_with_the_counts(self):
        result = self.model(SAMPLES, gates=True)
        for copy in (result, self.model(SAMPLES, gates=True, copy=False)):
            for i, block in enumerate(self.model.layout):
                gates = copy.gates(i)
                self.assertEqual((gates.dtype, gates.shape), (np.float32, (len(SAMPLES), block.tokens, block.heads)))
                np.testing.assert_array_equal((gates != 0).sum(axis=1), result.head_tokens[:, i, :block.heads])
                np.testing.assert_allclose(gates.sum(axis=1, dtype=np.float64), result.head_gate_sum[:, i, :block.heads], 1e-9)
                np.testing.assert_array_equal(gates, result.gates(block.name))
                np.testing.assert_array_equal(gates, result.gates(i - len(self.model.layout)))
                self.assertTrue((result.head_tokens[:, i, block.heads:] == -1).all())
        self.same(result, self.model(SAMPLES))
        with self.assertRaisesRegex(ValueError, "gates=True"):
            self.model(SNEAKER).gates(0)
        with self.assertRaisesRegex(ValueError, "4.0"):
            result.gates("5.0")
        with self.assertRaises(IndexError):
            result.gates(6)

    def test_a_trace_sees_every_block(self):
        seen, config, expected = [], self.model.config, self.model(SAMPLES[:3])
        for copy in (True, False):
            del seen[:]
            result = self.model(SAMPLES[:3], copy=copy, trace=lambda *args: seen.append(args))
            self.same(result, expected)
            self.assertEqual([(image, block) for image, block, _ in seen], [(i, b) for i in range(3) for b in range(6)])
            for image, block, x in seen:
                where = self.model.layout[block]
                self.assertEqual((x.dtype, x.shape), (np.float32, (where.tokens, config["embed_dims"][where.stage - 1])))
                normed = (x - x.mean(axis=1, keepdims=True)) / np.sqrt(x.var(axis=1, keepdims=True) + 1e-6)
            tensors = load_safetensors(BUILT_IN)  # what leaves the last block, normalised and averaged, are the features
            features = (normed * tensors["norm4.weight"] + tensors["norm4.bias"]).mean(axis=0)
            np.testing.assert_allclose(features, expected.features[2], rtol=0, atol=1e-4)

        def enough(image, block, x):
            seen.append(block)
            if image == 1 and block == 2:
                raise KeyError("enough")
        del seen[:]
        with self.assertRaisesRegex(KeyError, "enough"):
            self.model(SAMPLES[:3], trace=enough)
        self.assertEqual(seen, [0, 1, 2, 3, 4, 5, 0, 1, 2])
        self.same(self.model(SAMPLES[:3]), expected)

    def test_features_and_logits_are_those_of_the_program_s_files(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "features.safetensors")
            mohvit.run_cli("classify", "--features", path, *SAMPLES)
            with open(path, "rb") as file:
                data = file.read()
        start = 8 + int.from_bytes(data[:8], "little")
        first, last = json.loads(data[8:start])["features"]["data_offsets"]
        self.assertEqual(data[start + first:start + last], self.model(SAMPLES).features.tobytes())

    def test_copies_may_be_written_and_views_may_not(self):
        copies, views = self.model(SNEAKER, gates=True), self.model(SNEAKER, gates=True, copy=False)
        for name in ("logits", "features", "head_tokens", "head_gate_sum"):
            self.assertTrue(getattr(copies, name).flags.writeable)
            self.assertFalse(getattr(views, name).flags.writeable)
        before = copies.logits.copy()
        self.model(SAMPLES[0])
        np.testing.assert_array_equal(copies.logits, before)

    def test_an_answer_that_is_not_finite(self):
        tensor = np.full((3, 64, 64), np.nan, np.float32)
        result = self.model([np.zeros_like(tensor), tensor])
        self.assertTrue(np.isnan(result.logits[1]).all())
        for ask in (lambda: result.top(1), lambda: result.probs, lambda: mohvit.evaluate(self.model, [(tensor, 0)])):
            with self.assertRaisesRegex(mohvit.NonFiniteError, "finite"):
                ask()


class Models(Suite):
    def test_what_a_model_says_of_itself(self):
        model, info = self.model, mohvit.run_cli("info")[0]
        for name in ("variant", "parameters", "gmacs", "gmacs_routed", "active_heads_percent", "config", "preprocess", "labels"):
            self.assertEqual(getattr(model, name), info[name], name)
        self.assertEqual((model.img_size, model.num_classes, model.num_features, model.label_ids), (64, 10, 192, [None] * 10))
        self.assertEqual([b.name for b in model.layout], ["1.0", "2.0", "3.0", "3.1", "3.2", "4.0"])
        self.assertEqual(model.layout[5], mohvit.Block("4.0", 4, 0, 4, 16, 2, 6))
        self.assertEqual(model.layout[5].candidates, 14)
        self.assertEqual((model.backend, model.precision), (model.provenance["backend"], "f32"))
        self.assertEqual(model.provenance["instruction_set"], model.instruction_set)
        self.assertEqual(model.provenance["version"], mohvit.__version__)
        self.assertGreaterEqual(model.threads, 1)
        self.assertRegex(repr(model), r"^<mohvit.Model moh_vit_nano: \d+(\.\d+)? % of heads active, 10 classes, 64 pixels, f32")
        self.assertIn(": 100 % of heads", repr(model.reroute("100%")))
        self.assertIn(" moh_vit_nano without 4.0:r2,r8: ", repr(model.drop_heads("4.0:r2,r8")))
        self.assertIn(" without 4.0:s1, renormalised: ", repr(model.drop_heads("4.0:s1", renormalise=True)))

    def test_options(self):
        self.assertEqual(mohvit.Model(img_size=96).img_size, 96)
        self.assertEqual(mohvit.Model(backend="openblas").backend, "openblas")
        for precision in ("bf16", "int8", "f16"):
            try:
                self.assertEqual(mohvit.Model(precision=precision).precision, precision)
            except mohvit.UnsupportedError as error:
                self.assertIn("this processor", str(error))
        self.assertEqual(mohvit.Model(threads=1).threads, 1)
        self.assertEqual(mohvit.Model(labels=["x" + str(i) for i in range(10)]).labels[9], "x9")
        self.assertEqual(mohvit.Model(preprocess={"mean": [0, 0, 0], "crop_pct": 0.5}).preprocess["crop_pct"], 0.5)
        arrays = {"mean": np.zeros(3), "std": np.ones(3), "crop_pct": np.float64(0.5)}
        self.assertEqual(mohvit.Model(preprocess=arrays).preprocess["mean"], [0, 0, 0])
        own = mohvit.Model(preprocess={"mean": [0, 0, 0]}).preprocess  # the rest stays the model's
        self.assertEqual(own, {**self.model.preprocess, "mean": [0, 0, 0]})
        self.assertEqual(mohvit.Model(routed_heads="100%").active_heads_percent, 100)
        self.assertEqual(mohvit.Model(routed_heads=1).layout[5].routed, 1)
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "labels.txt"
            path.write_text("".join(f"y{i}\n" for i in range(10)))
            self.assertEqual(mohvit.Model(labels=path).labels[3], "y3")
        for options, message in (({"backend": "cuda"}, "openblas"), ({"precision": "fp4"}, "bf16"), ({"img_size": 65}, "32"),
                                 ({"routed_heads": "x"}, "x"), ({"threads": -1}, "-1"), ({"labels": ["one"]}, "^labels: "),
                                 ({"preprocess": {"mean": 1}}, "^preprocess: "), ({"config": {"depths": 1}}, "^config: "),
                                 ({"config": {"depth": 1}}, '"depth"; known are embed_dims, .*, depths, .*, name$'),
                                 ({"routed_heads": 50}, "no block of this model routes more than 14 heads; percent"),
                                 ({"key": "ema"}, "ema")):
            with self.subTest(options), self.assertRaisesRegex(mohvit.Error, message):
                mohvit.Model(**options)
        with self.assertRaises(TypeError):
            mohvit.Model(colour="red")

    def test_limits_and_orientation(self):
        with self.assertRaises(mohvit.LimitError):
            mohvit.Model(max_pixels=100)(SNEAKER)
        with self.assertRaises(mohvit.LimitError):
            mohvit.Model(max_file_bytes=100)(SNEAKER)
        path = os.path.join(GOLDEN, "images", "cat_exif_orientation6.jpg")
        turned = np.rot90(np.asarray(Image.open(path).convert("RGB")), -1)
        self.same(mohvit.Model(exif_orientation=True)(path), self.model(turned))
        self.same(mohvit.Model(exif_orientation=True)(Image.open(path)), self.model(turned))
        self.assertFalse((self.model(path).logits == self.model(turned).logits).all())
        for derive in (lambda model: model.reroute(None), lambda model: model.drop_heads(None)):
            self.same(derive(mohvit.Model(exif_orientation=True))(path), self.model(turned))
            with self.assertRaises(mohvit.LimitError):
                derive(mohvit.Model(max_pixels=100))(SNEAKER)

    def test_strings_are_not_cut(self):
        for options in ({"routed_heads": "100%\0x"}, {"key": "model\0x"}, {"precision": "f32\0x"}, {"backend": "native\0x"}):
            with self.subTest(options), self.assertRaisesRegex(ValueError, "zero byte"):
                mohvit.Model(**options)
        with self.assertRaisesRegex(ValueError, "zero byte"):
            self.model.reroute("100%\0x")
        with self.assertRaisesRegex(ValueError, "zero byte"):
            mohvit.Model.synthetic("transnext_micro\0x")

    def test_checkpoints(self):
        folder = os.path.join(GOLDEN, "pth")
        model = mohvit.Model(os.path.join(folder, "plain.pth"), config=os.path.join(folder, "config.json"))
        with open(os.path.join(folder, "config.json"), encoding="utf-8") as file:
            config = json.load(file)
        image = np.zeros((model.img_size, model.img_size, 3), np.uint8)
        self.same(mohvit.Model(read(os.path.join(folder, "plain.pth")), config=config)(image), model(image))
        training = os.path.join(folder, "training.pth")
        with self.assertLogs("mohvit", logging.INFO) as log:
            mohvit.Model(os.path.join(folder, "module_prefix.pth"), config=config)
        self.assertIn("module.", log.output[0])
        for path, kind in ((SNEAKER, mohvit.Error), ("gone.pth", FileNotFoundError), (b"PK", mohvit.FormatError),
                           (training, mohvit.MismatchError)):
            with self.subTest(path), self.assertRaises(kind):
                mohvit.Model(path)

    def test_a_damaged_checkpoint(self):
        data = bytearray(read(os.path.join(GOLDEN, "pth", "plain.pth")))
        data[30000] ^= 1  # among the weights
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "m.pth")
            with open(path, "wb") as file:
                file.write(data)
            for source in (path, bytes(data)):
                with self.assertRaisesRegex(mohvit.FormatError, "CRC error$"):
                    mohvit.Model(source, config=os.path.join(GOLDEN, "pth", "config.json"))

    def test_progress(self):
        told = []
        mohvit.Model(progress=lambda done, total: told.append((done, total)))
        self.assertLess(told[0][0], self.model.parameters)
        self.assertEqual(told[-1], (self.model.parameters, self.model.parameters))
        for wrong in (KeyError("mine"), KeyboardInterrupt()):
            def fail(done, total, wrong=wrong):
                raise wrong
            with self.assertRaises(type(wrong)) as caught:
                mohvit.Model(progress=fail)
            self.assertIs(caught.exception, wrong)

    def test_synthetic_models_and_warnings(self):
        one, other = (mohvit.Model.synthetic("moh_transnext_small_75", seed, img_size=64) for seed in (1, 2))
        image = np.full((64, 64, 3), 90, np.uint8)
        self.assertEqual((one.num_classes, one.provenance["synthetic_seed"]), (1000, "1"))
        self.assertEqual(one.label_ids[0], "n01440764")
        self.assertFalse((one(image).logits == other(image).logits).any())
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "s.safetensors")
            subprocess.run([mohvit.program_path(), "synth", "--variant", "transnext_micro", path], check=True)
            with self.assertWarnsRegex(UserWarning, "synthetic weights") as caught:
                mohvit.Model(path, img_size=64)
            self.assertEqual(caught.filename, __file__)
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                with self.assertRaises(UserWarning):
                    mohvit.Model(path, img_size=64)

    def test_drop_heads(self):
        plain, model = self.model(SNEAKER), self.model.drop_heads("4.0:r2,r8 3.1:s1", renormalise=True)
        self.assertEqual((model.provenance["dropped_heads"], model.provenance["renormalise"]), ("3.1:s1 4.0:r2,r8", True))
        result = model(SNEAKER, gates=True)
        self.assertTrue((result.logits != plain.logits).any())
        self.assertTrue((result.gates("4.0")[..., [3, 9]] == 0).all())
        self.same(model.drop_heads(None)(SNEAKER), plain)
        with self.assertRaisesRegex(mohvit.ArgumentError, 'there is no r15; block 4.0 has s1 to s2 and r1 to r14'):
            self.model.drop_heads("4.0:r15")

    def test_reroute(self):
        half, full = self.model.reroute("50%"), self.model.reroute("100%")
        self.same(full(SNEAKER), mohvit.Model(routed_heads="100%")(SNEAKER))
        self.assertEqual((full.active_heads_percent, full.threads), (100, self.model.threads))
        self.assertLess(half.layout[5].routed, full.layout[5].routed)
        self.same(self.model.reroute(None)(SNEAKER), self.model(SNEAKER))
        with self.assertRaises(mohvit.ArgumentError):
            self.model.reroute("many")

    def test_from_state_dict(self):
        tensors = load_safetensors(BUILT_IN)
        model = mohvit.Model.from_state_dict(tensors, config=self.model.config, preprocess=self.model.preprocess,
                                             labels=self.model.labels)
        self.same(model(SAMPLES), self.model(SAMPLES))
        turned = {name: array.astype(">f4") for name, array in tensors.items()}  # bytes the other way round
        self.same(mohvit.Model.from_state_dict(turned, config=self.model.config)(SNEAKER),
                  mohvit.Model.from_state_dict(tensors, config=self.model.config)(SNEAKER))
        with self.assertWarnsRegex(UserWarning, "of_no_layer") as caught:
            mohvit.Model.from_state_dict({**tensors, "of_no_layer": np.zeros(3)}, config=self.model.config)
        self.assertEqual(caught.filename, __file__)
        tensors["norm4.weight"] = np.asfortranarray(tensors["norm4.weight"].astype(np.float64) * 2)
        self.assertFalse((mohvit.Model.from_state_dict(tensors, config=self.model.config)(SNEAKER).logits ==
                          self.model(SNEAKER).logits).any())
        self.assertNotIn("crop_pct", mohvit.Model.from_state_dict(tensors, config=self.model.config).preprocess)
        self.assertIn("crop_pct where the model has one", mohvit.Model.preprocess.__doc__)
        with self.assertRaisesRegex(mohvit.MismatchError, "; give its config=, a file or a dict"):
            mohvit.Model.from_state_dict(tensors)
        with self.assertRaisesRegex(TypeError, "^expected a state_dict, as network.state_dict.. gives it; found Network$"):
            mohvit.Model.from_state_dict(type("Network", (), {})())
        tensors.pop("norm4.weight")
        with self.assertRaisesRegex(mohvit.MismatchError, "norm4.weight"):
            mohvit.Model.from_state_dict(tensors, config=self.model.config)


class Errors(unittest.TestCase):
    def test_each_fits_a_built_in_one(self):
        for kind, base in ((mohvit.ArgumentError, ValueError), (mohvit.OutOfMemoryError, MemoryError), (mohvit.FileError, OSError),
                           (mohvit.FormatError, ValueError), (mohvit.UnsupportedError, ValueError), (mohvit.LimitError, ValueError),
                           (mohvit.MismatchError, ValueError), (mohvit.NonFiniteError, ArithmeticError),
                           (mohvit.CancelledError, Exception), (mohvit.SystemFailure, OSError), (mohvit.CommandError, Exception)):
            self.assertTrue(issubclass(kind, (mohvit.Error,)) and issubclass(kind, base), kind)

    def test_all_can_be_pickled(self):
        public = [getattr(mohvit, name) for name in mohvit.__all__]
        kinds = [kind for kind in public if isinstance(kind, type) and issubclass(kind, mohvit.Error)]
        self.assertGreater(len(kinds), 10)
        for kind in kinds:
            error = kind(2, "wrong", [{"top1": 1}]) if kind is mohvit.CommandError else kind("wrong")
            again = pickle.loads(pickle.dumps(error))
            self.assertEqual((type(again), str(again), vars(again)), (kind, str(error), vars(error)))

    def test_what_the_system_said(self):
        model = mohvit.Model()
        with tempfile.TemporaryDirectory() as folder:
            gone = os.path.join(folder, "gone")
            for call, name in ((lambda: mohvit.Model(gone), gone), (lambda: mohvit.Model(gone, labels=SNEAKER), gone),
                               (lambda: mohvit.Model(labels=pathlib.Path(gone)), gone),
                               (lambda: mohvit.Model(config=gone), gone), (lambda: mohvit.Model(preprocess=gone), gone),
                               (lambda: model(gone), gone), (lambda: model([SNEAKER, gone]), gone),
                               (lambda: model([SNEAKER, gone], copy=False), gone), (lambda: mohvit.HeadLoad.load(gone), gone),
                               (lambda: mohvit.HeadLoad(model).save(gone + "/x"), gone + "/x")):
                with self.assertRaises(FileNotFoundError) as caught:
                    call()
                for error in (caught.exception, pickle.loads(pickle.dumps(caught.exception))):
                    self.assertIs(type(error), mohvit.MissingFileError)
                    self.assertEqual((error.errno, error.strerror, error.filename), (errno.ENOENT, os.strerror(errno.ENOENT), name))
                    self.assertIn(name + ": ", str(error))
            index = os.path.join(folder, "model.safetensors.index.json")
            with open(index, "w", encoding="utf-8") as file:
                json.dump({"weight_map": {"head.bias": "model-00001-of-00001.safetensors"}}, file)
            with self.assertRaises(FileNotFoundError) as caught:
                mohvit.Model(index)
            self.assertEqual((caught.exception.errno, caught.exception.filename), (errno.ENOENT, None))  # the shard is missing
            os.mkdir(os.path.join(folder, "model-00001-of-00001.safetensors"))
            with self.assertRaisesRegex(mohvit.FileError, "is a directory") as caught:
                mohvit.Model(index)
            self.assertIsNone(caught.exception.filename)  # it is the shard that is none
            short = os.path.join(folder, "short.png")
            with open(short, "wb") as file:
                file.write(read(SNEAKER)[:100])
            with self.assertRaises(mohvit.Error) as caught:
                model(short)
            self.assertIsNone(getattr(caught.exception, "errno", None))
            pid = os.fork()  # root may read everything
            if not pid:
                try:
                    os.chmod(short, 0)
                    os.chmod(folder, 0o755)
                    if not os.geteuid():
                        os.seteuid(65534)
                    model(short)
                except PermissionError as error:
                    said = type(error), error.errno, error.filename
                    os._exit(0 if said == (mohvit.ForbiddenFileError, errno.EACCES, short) else 2)
                finally:
                    os._exit(1)
            self.assertEqual(os.waitpid(pid, 0)[1], 0)

    def test_a_folder_and_a_format_that_is_not_read(self):
        model = mohvit.Model()
        folder = os.path.dirname(SNEAKER)
        for call in (lambda: model(folder), lambda: mohvit.Model(folder), lambda: model([SNEAKER, folder])):
            with self.assertRaisesRegex(mohvit.FileError, "is a directory") as caught:
                call()
            self.assertEqual((caught.exception.errno, caught.exception.filename), (None, folder))
        with self.assertRaisesRegex(mohvit.UnsupportedError, "GIF"):
            model(b"GIF89a" + bytes(100))

    def test_help_shows_what_attributes_are(self):
        for kind, names in ((mohvit.Model, ("gmacs_routed", "layout", "provenance")), (mohvit.Result, ("logits", "head_tokens")),
                            (mohvit.HeadLoad, ("layout", "labels"))):
            text = pydoc.plaintext.document(kind)
            for name in names:
                self.assertIn(vars(kind)[name].__doc__, text.replace("\n |  ", "\n").replace("\n     ", " "))
        for kind in (mohvit.Block, mohvit.Evaluation, mohvit.Features):
            fields = getattr(kind, "_fields", None) or list(kind.__dataclass_fields__)
            self.assertEqual([name for name in fields if name not in kind.__doc__], [], kind)

    def test_help_is_not_ragged(self):
        for kind in (mohvit.HeadLoad, mohvit.Model, mohvit.Result):
            for name, member in vars(kind).items():
                documented = isinstance(member, property) or callable(member)
                for line in (documented and member.__doc__ or "").splitlines():
                    self.assertLess(len(line), 132, name)
                    self.assertFalse(line and not line.endswith((".", ":")) and len(line.strip()) < 30, line)
        for text in (mohvit.Model.__call__.__doc__, read(os.path.join(ROOT, "docs", "python.md")).decode()):
            self.assertRegex(" ".join(text.split()), "some 10 MB (for each|an) image")  # of a context; it was 0.1 GB on one of them

    def test_all_public_names_are_there(self):
        self.assertEqual([name for name in mohvit.__all__ if not getattr(mohvit, name).__doc__], [])


if __name__ == "__main__":
    unittest.main()
