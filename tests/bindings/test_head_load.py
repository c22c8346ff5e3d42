#!/usr/bin/python3
"""Head loads and evaluations: the numbers, and the files, of the program."""

import gzip
import json
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
import threading
import unittest
from unittest import mock

import matplotlib

matplotlib.use("Agg")
import numpy as np

import mohvit
from support import BUILT_IN, FASHION_MNIST, GOLDEN, SAMPLES, SANITIZED, Suite, load_safetensors

N = 100 if SANITIZED else 300
DATA = f"idx:{FASHION_MNIST}-images-idx3-ubyte.gz,{FASHION_MNIST}-labels-idx1-ubyte.gz"


def fashion_mnist(n):
    """The first pictures of the test set as (n, 28, 28, 3), and their classes."""
    with gzip.open(FASHION_MNIST + "-images-idx3-ubyte.gz") as file:
        gray = np.frombuffer(file.read(16 + n * 784)[16:], np.uint8).reshape(n, 28, 28, 1)
    with gzip.open(FASHION_MNIST + "-labels-idx1-ubyte.gz") as file:
        classes = np.frombuffer(file.read(8 + n)[8:], np.uint8)
    return np.broadcast_to(gray, (n, 28, 28, 3)), classes


def read_tensor(path, name):
    """One of whole numbers."""
    with open(path, "rb") as file:
        data = file.read()
    end = 8 + int.from_bytes(data[:8], "little")
    about = json.loads(data[8:end])[name]
    first, last = about["data_offsets"]
    return np.frombuffer(data[end + first:end + last], {"I64": "<i8"}[about["dtype"]]).reshape(about["shape"])


def run_text(*words):
    return subprocess.run([mohvit.program_path(), *words], capture_output=True, text=True, check=True).stdout


class Scratch(Suite):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def path(self, name):
        return os.path.join(self.folder, name)


class Evaluations(Scratch):
    def test_scores_and_head_load_are_the_program_s(self):
        images, classes = fashion_mnist(N)
        load = self.path("load.safetensors")
        score, = mohvit.run_cli("eval", "--limit", str(N), "--head-load", load, DATA)
        theirs = mohvit.HeadLoad.load(load)
        self.assertEqual(theirs.images.sum(), N)
        batches = [(images[i:i + 33], classes[i:i + 33]) for i in range(0, N, 33)]
        for data in (zip(images, classes), ((image, int(k)) for image, k in zip(images, classes)), batches,
                     [(list(images), list(classes))]):
            ours = mohvit.evaluate(self.model, data)
            self.assertEqual([float(f"{x:.9g}") for x in (ours.top1, ours.top5, ours.loss)],
                             [score["top1"], score["top5"], score["loss"]])
            self.assertEqual(ours.images, N)
            for name in ("images", "tokens", "active", "gate_sum"):
                a, b = getattr(ours.head_load, name), getattr(theirs, name)
                self.assertEqual((a.dtype, a.shape, a.tobytes()), (b.dtype, b.shape, b.tobytes()), name)

    def test_heads_have_these_tokens_in_common(self):
        """Each head's tokens by its gates; NumPy counts which of them are another one's, too."""
        images, _ = fashion_mnist(N)
        path = self.path("load.safetensors")
        mohvit.run_cli("eval", "--limit", str(N), "--head-load", path, DATA)
        together = read_tensor(path, "together")
        gates = self.model(list(images), gates=True)
        self.assertEqual(together.shape, (len(self.model.layout), 16, 16))
        rows = json.loads(run_text("headload", "export", "--pairs", "--json", path))["rows"]
        expected_rows = []
        for i, block in enumerate(self.model.layout):
            on = (gates.gates(i) > 0).reshape(-1, block.heads).astype(np.int64)  # (images · tokens, heads)
            both = np.full((16, 16), -1)
            both[:block.heads, :block.heads] = on.T @ on
            np.testing.assert_array_equal(together[i], both)
            stage, number = map(int, block.name.split("."))
            for a in range(block.heads):
                for b in range(a + 1, block.heads):
                    kinds = ["shared" if h < block.shared else "routed" for h in (a, b)]
                    either = both[a, a] + both[b, b] - both[a, b]
                    expected_rows.append({
                        "stage": stage, "block": number, "head_a": a, "kind_a": kinds[0], "head_b": b, "kind_b": kinds[1],
                        "tokens": len(on), "active_a": both[a, a], "active_b": both[b, b], "together": both[a, b],
                        "joint": both[a, b] / len(on), "jaccard": both[a, b] / either,
                        "lift": both[a, b] * len(on) / both[a, a] / both[b, b] if both[a, a] and both[b, b] else None})
        self.assertEqual(len(rows), len(expected_rows))
        for row, expected in zip(rows, expected_rows):
            self.assertEqual(row.keys(), expected.keys())
            for key, value in expected.items():
                self.assertTrue(row[key] == value or abs(row[key] - value) < 1e-8, (key, row, expected))

        for words in ((), ("--block", "3.1")):
            found, = mohvit.run_cli("headload", "relate", "--heads", *words, path)
            at = [b.name for b in self.model.layout].index(words[1]) if words else -1
            block = self.model.layout[at]
            both = together[at][np.ix_(found["heads"], found["heads"])]
            active = both.diagonal()
            jaccard = both / (active[:, None] + active - both)
            self.assertEqual(sorted(found["heads"]), list(range(block.shared, block.heads)))
            self.assertEqual(found["labels"], [f"r{h - block.shared + 1}" for h in found["heads"]])
            self.assertEqual((found["blocks"], found["tokens"]), ([block.name], N * block.tokens))
            np.testing.assert_array_equal(found["together"], both)
            np.testing.assert_allclose(found["similarity"], jaccard, rtol=0, atol=1e-9)
            n, k = block.heads - block.shared, block.routed
            self.assertAlmostEqual(found["even_lift"], n * (k - 1) / (k * (n - 1)), 8)
            np.fill_diagonal(jaccard, 0)
            self.assertAlmostEqual(found["tree"][0][2], 1 - jaccard.max(), 6)
            self.assertEqual(sorted(found["tree"][0][:2]), sorted(np.unravel_index(jaccard.argmax(), jaccard.shape)))

    def test_of_nothing(self):
        score = mohvit.evaluate(self.model, [])
        self.assertEqual((score.images, score.head_load.images.sum()), (0, 0))
        self.assertEqual(mohvit.evaluate(self.model, [([], [])]).images, 0)
        self.assertTrue(np.isnan([score.top1, score.top5, score.loss]).all())

    def test_wrong_classes(self):
        image = np.zeros((8, 8, 3), np.uint8)
        for classes, kind in ((10, ValueError), (-1, ValueError), (0.5, TypeError), ("bag", TypeError), ([0, 1], ValueError),
                              ([[0]], ValueError)):
            with self.subTest(classes), self.assertRaises(kind):
                mohvit.evaluate(self.model, [(image if np.ndim(classes) == 0 else [image], classes)])
            load = mohvit.HeadLoad(self.model)
            with self.subTest(classes), self.assertRaises(kind):
                load.add(self.model(image), classes)
            self.assertEqual(load.images.sum(), 0)

    def test_data_that_are_no_pairs(self):
        images, classes = fashion_mnist(3)
        for data in ((images, classes), (images[0], 3), [{"image": images[0], "label": 3}], [images[0]]):
            with self.assertRaisesRegex(TypeError, r"expected pairs .* zip\(images, classes\)"):
                mohvit.evaluate(self.model, data)

    def test_single_images_are_read_a_batch_at_a_time(self):
        taken = []

        def data():
            for i in range(100 * self.model.threads):
                taken.append(i)
                yield SAMPLES[0], 99 if i == 5 else 0
        with self.assertRaisesRegex(ValueError, "classes from 0 to 99"):
            mohvit.evaluate(self.model, data())
        self.assertEqual(len(taken), 32 * self.model.threads)

    def test_an_exact_tie_goes_to_the_lower_class(self):
        tensors = load_safetensors(BUILT_IN)
        tensors["head.weight"][3] = tensors["head.weight"][7]
        tensors["head.bias"][3] = tensors["head.bias"][7]
        model = mohvit.Model.from_state_dict(tensors, config=self.model.config)
        sneaker = next(path for path in SAMPLES if "sneaker" in path)
        self.assertEqual([p.class_index for p in model(sneaker).top(2)[0]], [3, 7])
        self.assertEqual([mohvit.evaluate(model, [(sneaker, k)]).top1 for k in (3, 7)], [100, 0])


class HeadLoads(Scratch):
    def counted(self, images=SAMPLES, classes=range(8)):
        load = mohvit.HeadLoad(self.model)
        load.add(self.model(list(images)), list(classes))
        return load

    def equal(self, one, other):
        for name in ("images", "tokens", "active", "gate_sum"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name), name)

    def test_arrays(self):
        load, result, layout = self.counted(), self.model(SAMPLES), self.model.layout
        self.assertEqual((load.layout, load.labels, load.label_ids), (layout, self.model.labels, self.model.label_ids))
        self.assertEqual(load.images.tolist(), [1] * 8 + [0] * 2)
        self.assertEqual(load.tokens.tolist(), [[b.tokens for b in layout]] * 8 + [[0] * 6] * 2)
        np.testing.assert_array_equal(load.active[:8], result.head_tokens)
        np.testing.assert_allclose(load.gate_sum[:8], result.head_gate_sum, rtol=0, atol=1e-6)  # kept as whole numbers
        loads = load.loads
        self.assertEqual((loads.dtype, loads.shape), (np.float64, (10, 6, 16)))
        for i, block in enumerate(layout):
            np.testing.assert_allclose(loads[:8, i, :block.heads].sum(axis=1), block.shared + block.routed)
            self.assertTrue(np.isnan(loads[:8, i, block.heads:]).all() and np.isnan(loads[8:]).all())
        self.assertIn("8 images", repr(load))

    def test_saved_loaded_and_counted_on(self):
        path, load = self.path("l.safetensors"), self.counted()
        load.save(path)
        again = mohvit.HeadLoad.load(path)
        self.equal(again, load)
        for each in (load, again):
            each.add(self.model(SAMPLES[:2]), 9)
        self.equal(again, load)
        self.assertEqual(again.images[9], 2)
        stats, = mohvit.run_cli("headload", "stats", path)
        self.assertEqual({block["classes"] for block in stats["blocks"]}, {8})
        with self.assertRaises(FileNotFoundError):
            mohvit.HeadLoad.load(self.path("gone"))
        with self.assertRaises(mohvit.FormatError):
            mohvit.HeadLoad.load(SAMPLES[0])
        with self.assertRaises(OSError):
            load.save(self.path("no/folder"))

    def test_pickled(self):
        load = pickle.loads(pickle.dumps(self.counted()))
        self.equal(load, self.counted())
        again = pickle.loads(pickle.dumps(self.model(SAMPLES[:2])))
        for result in (again, self.model(SAMPLES[:2]), again):
            load.add(result, 9)
        self.assertEqual(load.images.tolist(), [1] * 8 + [0, 6])
        new = mohvit.HeadLoad(self.model)
        new.add(again, 0)
        self.assertEqual(new.images[0], 2)
        for model in (self.model.reroute("100%"), mohvit.Model(exif_orientation=True), mohvit.Model(labels=["x"] * 10)):
            with self.assertRaisesRegex(mohvit.MismatchError, "pickled by another model"):
                load.add(pickle.loads(pickle.dumps(model(SAMPLES))), 0)

    def test_merged(self):
        both = self.counted()
        one, other = self.counted(SAMPLES[:3], range(3)), self.counted(SAMPLES[3:], range(3, 8))
        one.merge(other)
        self.equal(one, both)
        self.assertEqual(other.images.sum(), 5)
        with self.assertRaises(mohvit.ArgumentError):
            one.merge(one)
        openblas = mohvit.Model(backend="openblas")
        mixed = mohvit.HeadLoad(openblas)
        mixed.add(openblas(SAMPLES), 0)
        with self.assertRaises(mohvit.MismatchError):
            one.merge(mixed)
        self.equal(one, both)
        one.merge(mixed, allow_mixed=True)
        self.assertEqual(one.images.sum(), 16)

    def test_merged_both_ways_at_once(self):
        one, other = self.counted(), self.counted()
        threads = [threading.Thread(target=lambda a=a, b=b: [a.merge(b) for _ in range(10)])
                   for a, b in ((one, other), (other, one))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
            self.assertFalse(thread.is_alive())

    def test_results_of_other_models_are_refused(self):
        load = self.counted()
        for model in (mohvit.Model(backend="openblas"), self.model.reroute("100%"), mohvit.Model(img_size=96)):
            with self.assertRaises(mohvit.MismatchError):
                load.add(model(SAMPLES), 0)
        path = self.path("l")
        load.save(path)
        loaded = mohvit.HeadLoad.load(path)
        for model, named in ((mohvit.Model(img_size=96), "img_size is 96, expected 64"),
                             (mohvit.Model(backend="openblas"), 'backend is "openblas"'),
                             (mohvit.Model(labels=["x"] * 10), '"x"'), (self.model.reroute("100%"), "expected")):
            with self.subTest(named), self.assertRaisesRegex(mohvit.MismatchError, named):
                loaded.add(model(SAMPLES), 0)
        with self.assertRaisesRegex(mohvit.MismatchError, "^the result: was counted otherwise than this head load: dropped_heads"):
            load.add(self.model.drop_heads("4.0:r2,r8")(SAMPLES), 0)
        loaded.add(self.model(SAMPLES), 0)
        other = mohvit.Model.synthetic("moh_transnext_small_75", img_size=64)
        with self.assertRaises(mohvit.MismatchError):
            mohvit.HeadLoad.load(path).add(other(SAMPLES[0]), 0)
        self.equal(load, self.counted())

    def test_other_treatment_of_pictures_is_refused(self):
        for options, named in (({"preprocess": {"mean": [0, 0, 0], "std": [1, 1, 1]}}, "preprocess"),
                               ({"exif_orientation": True}, "exif_orientation")):
            other, load = mohvit.Model(**options), self.counted()
            theirs = mohvit.HeadLoad(other)
            theirs.add(other(SAMPLES), 0)
            for mix in (lambda: load.add(other(SAMPLES), 0), lambda: load.merge(theirs), lambda: theirs.merge(load)):
                with self.subTest(named), self.assertRaisesRegex(mohvit.MismatchError, named):
                    mix()
            theirs.merge(theirs_again := mohvit.HeadLoad(other))
            self.assertEqual(theirs_again.images.sum(), 0)

    def test_merged_with_the_program_s(self):
        path = self.path("theirs.safetensors")
        mohvit.run_cli("headload", "count", DATA, "--limit", "20", "-o", path)
        ours = self.counted()
        ours.merge(mohvit.HeadLoad.load(path))
        self.assertEqual(ours.images.sum(), 28)

    def test_arrays_of_another_shape_are_refused(self):
        load = mohvit.HeadLoad(self.model)
        for name in ("head_tokens", "head_gate_sum"):
            for change in (lambda a: a[:1], lambda a: a[:, :, :1], lambda a: a[:, :1], lambda a: a.ravel(), lambda a: a[0, 0, 0]):
                result = self.model(SAMPLES)
                setattr(result, name, change(getattr(result, name)))
                with self.assertRaisesRegex(ValueError, rf"^{name} of shape .*; expected \(8, 6, 16\)"):
                    load.add(result, range(8))
        result = self.model(SAMPLES)
        result.head_tokens = result.head_tokens + 0.5
        with self.assertRaises(TypeError):
            load.add(result, range(8))
        self.assertEqual(load.images.sum(), 0)

    def test_one_caller_at_a_time(self):
        load, other, result = self.counted(), self.counted(), self.model(SAMPLES)
        for call in (lambda: load.add(result, 0), lambda: load.merge(other), lambda: other.merge(load), lambda: load.images,
                     lambda: load.save(self.path("x"))):
            thread = threading.Thread(target=call)
            with load._lock:
                thread.start()
                thread.join(0.2)
                self.assertTrue(thread.is_alive())
            thread.join()
        order = []

        class Lock:
            def __init__(self, name):
                self.name = name

            def __enter__(self):
                order.append(self.name)

            def __exit__(self, *of_exception):
                pass
        load._lock, other._lock = Lock("load"), Lock("other")
        load.merge(other)
        other.merge(load)
        self.assertEqual(order[:2], order[2:])  # or the two could wait for each other

    def test_added_by_threads(self):
        load, result = mohvit.HeadLoad(self.model), self.model(SAMPLES)
        threads = [threading.Thread(target=lambda: [load.add(result, range(8)) for _ in range(20)]) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(load.images.tolist(), [80] * 8 + [0] * 2)
        np.testing.assert_array_equal(load.active[:8], np.where(result.head_tokens < 0, -1, 80 * result.head_tokens))

    def test_plotted(self):
        load = self.counted()
        figure = load.plot()
        self.assertEqual([axes.get_title() for axes in figure.axes], [f"{label} (1 image)" for label in load.labels[:8]])
        np.testing.assert_allclose([bar.get_height() for bar in figure.axes[2].patches], load.loads[2, 5, 2:])
        self.assertIn("4.0", figure.axes[-1].get_xlabel())
        figure = load.plot(["bag", 3], block="3.1")
        self.assertEqual([axes.get_title() for axes in figure.axes], ["Bag (0 images)", "Dress (1 image)"])
        np.testing.assert_allclose([bar.get_height() for bar in figure.axes[1].patches], load.loads[3, 3, 2:8])
        self.assertEqual([axes.get_title() for axes in load.plot("Dress").axes], ["Dress (1 image)"])
        self.assertEqual([axes.get_title() for axes in load.plot(3).axes], ["Dress (1 image)"])
        with self.assertRaisesRegex(ValueError, "no class is called 'Bags'; there are T-shirt/top, Trouser, "):
            load.plot("Bags")
        heatmap = load.plot(heatmap=True, block=0)
        np.testing.assert_allclose(heatmap.axes[0].images[0].get_array(), load.loads[:8, 0, 1:4])
        own = matplotlib.pyplot.figure()
        self.assertIs(load.plot([0], figure=own), own)
        own.savefig(self.path("x.png"))
        matplotlib.pyplot.close("all")
        for arguments, kind in (((["bags"],), ValueError), (([10],), IndexError), ((None, "9.9"), ValueError)):
            with self.assertRaises(kind):
                load.plot(*arguments)
        with self.assertRaisesRegex(ValueError, "no images"):
            mohvit.HeadLoad(self.model).plot()
        thousand = mohvit.Model.synthetic("moh_transnext_small_75", img_size=64)
        load, result = mohvit.HeadLoad(thousand), thousand(SAMPLES[0])
        for k in range(13):
            load.add(result, k)
            self.assertEqual(load.plot().axes[0].get_title() == "", k == 12)  # more than 12 classes are a heatmap
            matplotlib.pyplot.close("all")
        self.assertEqual(load.plot("n01440764").axes[0].get_title(), f"{load.labels[0]} (1 image)")
        plain = mohvit.Model.synthetic("transnext_micro", img_size=64)
        load = mohvit.HeadLoad(plain)
        load.add(plain(SAMPLES[0]), 0)
        with self.assertRaisesRegex(ValueError, "no heads"):
            load.plot()

    def test_files_of_0_1(self):
        load = mohvit.HeadLoad.load(os.path.join(GOLDEN, "headload", "0.1.0.safetensors"))
        self.assertGreater(load.images.sum(), 0)
        self.assertTrue((load.active <= load.tokens[:, :, None]).all())


class Vectors(Scratch):
    def test_files_of_the_program(self):
        images, classes = fashion_mnist(20)
        features, logits = self.path("f.safetensors"), self.path("l.safetensors")
        mohvit.run_cli("eval", "--limit", 20, "--features", features, "--logits", logits, DATA)
        expected = self.model(images)
        for path, array in ((features, expected.features), (logits, expected.logits)):
            read = mohvit.load_features(path)
            self.assertEqual((read.features.dtype, read.features.shape), (array.dtype, array.shape))
            np.testing.assert_array_equal(read.features, array)
            np.testing.assert_array_equal(read.classes, classes)
            np.testing.assert_array_equal(read.index, np.arange(20))
            self.assertEqual((len(read.names), len(set(read.names))), (20, 20))
            self.assertEqual(read.provenance["weights_hash"], self.model.provenance["weights_hash"])
        counted = self.path("load.safetensors")
        mohvit.HeadLoad(self.model).save(counted)
        for path in (SAMPLES[0], counted, os.devnull):
            with self.assertRaisesRegex(ValueError, "is not a file of mohvit eval"):
                mohvit.load_features(path)
        with self.assertRaises(FileNotFoundError):
            mohvit.load_features(self.path("gone"))


    def test_names_that_are_no_utf_8(self):
        path = os.path.join(os.fsencode(self.folder), b"\xff.png")
        shutil.copy(SAMPLES[0], path)
        mohvit.run_cli("classify", "--features", self.path("f"), path)
        self.assertEqual(mohvit.load_features(self.path("f")).names, [self.path(r"\xff.png")])


class Program(Scratch):
    def test_the_program_may_be_on_path(self):
        beside = mohvit.program_path()
        with mock.patch("os.access", return_value=False):  # as in a wheel
            with mock.patch.dict(os.environ, PATH=self.folder), self.assertRaisesRegex(FileNotFoundError, "nor on PATH"):
                mohvit.program_path()
        os.symlink(beside, self.path("mohvit"))
        access = os.access
        with mock.patch("os.access", lambda path, *mode: path != beside and access(path, *mode)):
            with mock.patch.dict(os.environ, PATH=self.folder):
                self.assertEqual(mohvit.program_path(), self.path("mohvit"))

    def test_standard_input_is_not_the_program_s(self):
        code = "import mohvit\ntry: mohvit.run_cli('classify', '-')\nexcept mohvit.CommandError as e: print(e.status)"
        with open(SAMPLES[0], "rb") as picture:
            done = subprocess.run([sys.executable, "-c", code], stdin=picture, capture_output=True, check=True)
        self.assertEqual(done.stdout, b"1\n")

    def test_commands_answer_in_json(self):
        rows = mohvit.run_cli("classify", "--", SAMPLES[0], SAMPLES[1])
        self.assertEqual([row["path"] for row in rows], SAMPLES[:2])
        with self.assertRaises(mohvit.CommandError) as caught:
            mohvit.run_cli("classify", SAMPLES[0], "gone.png")
        self.assertEqual((caught.exception.status, len(caught.exception.results)), (1, 2))
        with self.assertRaises(mohvit.CommandError) as caught:
            mohvit.run_cli("eval", "--no-such-option", "x")
        self.assertEqual(caught.exception.status, 2)
        self.assertIn("no such option", caught.exception.messages)

    def test_what_is_no_json_and_arguments_that_are_no_strings(self):
        with self.assertRaises(mohvit.CommandError) as caught:
            mohvit.run_cli("eval", "--help")
        self.assertEqual(caught.exception.status, 0)
        self.assertIn("--limit", caught.exception.messages)
        row, = mohvit.run_cli("classify", "--top", 1, SAMPLES[0])
        self.assertEqual(len(row["top"]), 1)

    def test_the_module_is_the_program(self):
        one = subprocess.run([sys.executable, "-m", "mohvit", "info", "--format", "json"], capture_output=True, check=True)
        other = subprocess.run([mohvit.program_path(), "info", "--format", "json"], capture_output=True, check=True)
        self.assertEqual((one.stdout, one.stderr), (other.stdout, other.stderr))
        self.assertEqual(subprocess.run([sys.executable, "-m", "mohvit", "nonsense"], capture_output=True).returncode, 2)


if __name__ == "__main__":
    unittest.main()
