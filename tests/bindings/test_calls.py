#!/usr/bin/python3
"""Calls from threads and children, calls that are interrupted, and objects that outlive what made them."""

import gc
import os
import signal
import sys
import threading
import time
import unittest

import numpy as np
from PIL import Image

import mohvit
from mohvit.context import Context
from support import GOLDEN, SAMPLES, SANITIZED, Suite

PHOTO = os.path.join(GOLDEN, "images", "coffee.png")


class Threads(Suite):
    def test_one_model_serves_many_threads(self):
        expected, wrong = self.model(SAMPLES), []

        def call(first):
            for turn in range(6):
                i = (first + turn) % len(SAMPLES)
                one, both = self.model(SAMPLES[i]), self.model([SAMPLES[i], SAMPLES[0]], copy=turn % 2 == 0)
                if (one.logits[0] != expected.logits[i]).any() or (both.logits != expected.logits[[i, 0]]).any():
                    wrong.append(i)
        threads = [threading.Thread(target=call, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])

    def test_others_go_on_during_a_run(self):
        model = mohvit.Model.synthetic("moh_transnext_small_75", threads=1, img_size=64 if SANITIZED else 224)
        image = np.zeros((64, 64, 3), np.uint8)
        model(image)
        running = threading.Thread(target=model, args=([image] * 4,))
        ticks = 0
        running.start()
        while running.is_alive():
            time.sleep(0.001)
            ticks += 1
        self.assertGreater(ticks, 20)  # as many as there are calls, if each kept the interpreter to itself

    def test_contexts_are_used_again(self):
        model = mohvit.Model(threads=2)
        for _ in range(20):
            model(SAMPLES)
            model(SAMPLES[0])
            model(SAMPLES[0], gates=True)
            model(SAMPLES[:3], copy=False)
        self.assertLessEqual(len(model._pool._free), 3)

    def test_what_a_callback_raises_stays_in_its_thread(self):
        from mohvit.errors import keep_raised  # where the library calls Python
        other = threading.Thread(target=keep_raised, args=(KeyError, KeyError("theirs"), None))
        other.start()
        other.join()
        with self.assertRaises(FileNotFoundError):
            self.model("gone.png")

    def test_threads_may_meet_at_an_image_that_pillow_has_not_read(self):
        expected, wrong = self.model(PHOTO).logits, []

        def call(image):
            try:
                if (self.model(image).logits != expected).any():
                    wrong.append("other logits")
            except Exception as error:
                wrong.append(error)
        for _ in range(5):
            image = Image.open(PHOTO)
            threads = [threading.Thread(target=call, args=(image,)) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        self.assertEqual(wrong, [])

    def test_a_failure_in_one_thread_ends_the_call(self):
        model = mohvit.Model(threads=4)
        for _ in range(10):
            with self.assertRaisesRegex(mohvit.FormatError, r"^images\[3\]"):
                model(SAMPLES[:3] + [b"no picture"] + SAMPLES * 30)
        self.same(model(SAMPLES), self.model(SAMPLES))
        self.assertEqual(threading.active_count(), 1)


class Children(Suite):
    def child(self, check):
        """True where check() holds in a forked child."""
        pid = os.fork()
        if not pid:
            status = 1
            try:
                status = 0 if check() else 1
            finally:
                os._exit(status)
        deadline = time.monotonic() + 60
        while True:
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                return status == 0
            if time.monotonic() > deadline:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                self.fail("the child hangs")
            time.sleep(0.01)

    def test_a_child_goes_on(self):
        views, expected = self.model(SAMPLES, copy=False), self.model(SAMPLES)
        self.assertTrue(self.child(lambda: (self.model(SAMPLES).logits == expected.logits).all()))
        self.assertTrue(self.child(lambda: (self.model(SAMPLES[0]).logits == expected.logits[0]).all()))
        self.assertTrue(self.child(lambda: (views.logits == expected.logits).all()))
        self.same(self.model(SAMPLES), expected)

    def test_a_pool_of_processes(self):
        import multiprocessing
        global of_pool
        of_pool = self.model
        with multiprocessing.get_context("fork").Pool(2) as pool:
            rows = pool.map(logits, SAMPLES)
        np.testing.assert_array_equal(np.concatenate(rows), self.model(SAMPLES).logits)


def logits(path):
    return of_pool(path).logits


class Interrupts(Suite):
    """A call that would take many seconds ends at once."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        signal.signal(signal.SIGINT, signal.default_int_handler)  # it may have been ignored by whoever started this
        cls.large = {threads: mohvit.Model.synthetic("moh_transnext_small_75", threads=threads, img_size=224 if SANITIZED else 512)
                     for threads in (1, 2)}

    def interrupted(self, kind, number, call):
        pixels = np.zeros((64, 64, 3), np.uint8)
        for model in self.large.values():
            for images in ([pixels], [pixels] * 40, iter([pixels] * 40)):
                timer = threading.Timer(0.3, os.kill, (os.getpid(), number))
                timer.start()
                began = time.monotonic()
                with self.assertRaises(kind):
                    while True:
                        call(model, images)
                self.assertLess(time.monotonic() - began, 20)
                timer.join()
                self.assertEqual(threading.active_count(), 1)

    def test_by_the_keyboard(self):
        self.interrupted(KeyboardInterrupt, signal.SIGINT, lambda model, images: model(images))

    def test_by_what_a_handler_raises(self):
        def handler(number, frame):
            raise TimeoutError("enough")
        before = signal.signal(signal.SIGUSR1, handler)
        self.addCleanup(signal.signal, signal.SIGUSR1, before)
        self.interrupted(TimeoutError, signal.SIGUSR1, lambda model, images: model(list(images), copy=False))

    def test_a_model_answers_after_an_interrupt(self):
        expected = self.model(SAMPLES)
        for wait in np.linspace(0.0002, 0.02, 12 if SANITIZED else 40):
            timer = threading.Timer(wait, os.kill, (os.getpid(), signal.SIGINT))
            try:
                timer.start()
                while True:
                    self.model(SAMPLES)
            except KeyboardInterrupt:
                pass
            timer.join()
            self.same(self.model(SAMPLES), expected)


class Lifetimes(Suite):
    """Under AddressSanitizer these also find what is used after it was freed."""

    def test_views_keep_their_memory(self):
        expected = self.model(SAMPLES, gates=True)
        model = mohvit.Model()
        first, second = model(SAMPLES, gates=True, copy=False), model(SAMPLES[::-1], gates=True, copy=False)
        views = [first.logits, first.features, first.head_tokens, first.head_gate_sum, first.gates(0)[2:]]
        del model, first
        gc.collect()
        again = mohvit.Model()(SAMPLES[::-1])  # what is freed is likely to be taken
        for view, wanted in zip(views, (expected.logits, expected.features, expected.head_tokens, expected.head_gate_sum,
                                        expected.gates(0)[2:])):
            np.testing.assert_array_equal(view, wanted)
        np.testing.assert_array_equal(second.logits, again.logits)

    def test_memory_of_views_is_freed(self):
        def contexts():
            gc.collect()
            return sum(isinstance(o, Context) and o.kind[0] == len(SAMPLES) for o in gc.get_objects())
        model = mohvit.Model(threads=2)
        before = contexts()
        result, other = model(SAMPLES, copy=False), model(SAMPLES, copy=False)
        self.assertNotEqual(other.logits.ctypes.data, result.logits.ctypes.data)
        row = result.logits[3]
        del result, other
        self.assertEqual(contexts(), before + 1)
        del row
        self.assertEqual(contexts(), before)

    def test_results_and_head_loads_outlive_their_model(self):
        model = mohvit.Model()
        result, load, full = model(SAMPLES, gates=True), mohvit.HeadLoad(model), model.reroute("100%")
        del model
        gc.collect()
        load.add(result, 0)
        self.assertEqual(result.top(1)[0][0].label, self.model.labels[9])
        self.assertEqual(load.images[0], len(SAMPLES))
        self.assertEqual(len(full(SAMPLES)), len(SAMPLES))

    def test_arrays_may_go_right_after_the_call(self):
        pixels = np.random.default_rng(3).integers(0, 256, (4, 30, 30, 3), np.uint8)
        expected = self.model(pixels)
        self.same(self.model(image.copy() for image in pixels), expected)
        self.same(self.model(pixels.copy()), expected)

    def test_nothing_piles_up(self):
        def use():
            model = mohvit.Model()
            model(SAMPLES)
            model(SAMPLES[:2], copy=False)
            mohvit.HeadLoad(model).add(model(SAMPLES[0], gates=True), 0)
            with self.assertRaises(ValueError):
                model([SAMPLES[0], b""])
            with self.assertRaises(KeyError):
                mohvit.Model(progress=at_the_end)

        def at_the_end(done, total):
            if done == total:
                raise KeyError

        def memory():
            gc.collect()
            with open("/proc/self/statm", encoding="ascii") as file:
                return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        for _ in range(5):
            use()
        before = memory()
        for _ in range(0 if SANITIZED else 30):
            use()
        self.assertLess(memory() - before, 20e6)  # a model is 6 MB

    def test_garbage_in_circles(self):
        for _ in range(5):
            model = mohvit.Model()
            result = model(SAMPLES[:2], copy=False)
            circle = [model, result]
            circle.append(circle)
            result.mine = circle
            del model, result, circle
            gc.collect()


class Torch(Suite):
    @unittest.skipIf(SANITIZED, "PyTorch is slow to load there")
    def test_tensors_of_pytorch(self):
        import torch
        size = self.model.img_size
        x = torch.randn(2, 3, size, size, requires_grad=True)
        self.same(self.model(x), self.model(x.detach().numpy()))
        self.same(self.model([x[0], x[1]]), self.model(x))
        pixels = torch.randint(0, 256, (3, 40, 50), dtype=torch.uint8).permute(1, 2, 0)
        self.same(self.model(pixels), self.model(pixels.numpy()))
        score = mohvit.evaluate(self.model, torch.utils.data.DataLoader(
            torch.utils.data.TensorDataset(x.detach().repeat(5, 1, 1, 1), torch.arange(10)), batch_size=4))
        self.assertEqual((score.images, score.head_load.images.tolist()), (10, [1] * 10))

        with self.assertRaisesRegex(TypeError, "torch.bfloat16; expected"):
            self.model(x.to(torch.bfloat16))
        with self.assertRaisesRegex(TypeError, r"^images\[0\]: Tensor of torch.bfloat16"):
            self.model([x[0].to(torch.bfloat16), x[1]])

        from support import BUILT_IN, load_safetensors
        state = {name: torch.from_numpy(array) for name, array in load_safetensors(BUILT_IN).items()}
        options = {"config": self.model.config, "preprocess": self.model.preprocess}
        for tensors in (state, {k: torch.nn.Parameter(v) for k, v in state.items()},
                        {k: v.to(torch.bfloat16) for k, v in state.items()}):
            model = mohvit.Model.from_state_dict(tensors, **options)
            rounded = mohvit.Model.from_state_dict({k: v.detach().float().numpy() for k, v in tensors.items()}, **options)
            self.same(model(SAMPLES), rounded(SAMPLES))


if __name__ == "__main__":
    unittest.main()
