#!/usr/bin/python3
"""The Python of README.md and docs/python.md, and the notebooks, run from the top to the end in a folder where tools/samples lies."""

import importlib.util
import os
import re
import runpy
import tempfile
import unittest

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot
import numpy as np

import mohvit
from support import ROOT


class Pages(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.addCleanup(os.chdir, os.getcwd())
        self.addCleanup(matplotlib.pyplot.close, "all")
        os.chdir(folder.name)
        os.symlink(os.path.join(ROOT, "tools"), "tools")

    def code(self, page):
        """Its text, and its blocks of Python."""
        with open(os.path.join(ROOT, page), encoding="utf-8") as file:
            text = file.read()
        return text, re.findall(r"^```python\n(.*?)^```$", text, re.M | re.S)

    def test_readme(self):
        names = {}
        for block in self.code("README.md")[1]:
            exec(compile(block, "README.md", "exec"), names)
        self.assertEqual(names["result"].top(1)[0][0].label, "Sneaker")

    def test_python_md(self):
        page, blocks = self.code("docs/python.md")
        self.assertGreaterEqual(len(blocks), 5)
        self.assertLessEqual(len(blocks[0].splitlines()), 5)  # "from nothing to a figure in five lines"
        names = {}
        for block in blocks:
            if "import moh_vit" in block and not importlib.util.find_spec("torch"):
                continue
            exec(compile(block, "docs/python.md", "exec"), names)
        self.assertGreater(os.path.getsize("load.png"), 10000)
        self.assertEqual(names["score"].top1, 100)
        self.assertEqual(names["score"].head_load.images.tolist(), [1, 1, 0, 1, 1, 1, 0, 1, 1, 1])
        load = names["head_load_of"](Network(), names["model"].config, names["model"].labels, names["paths"], 0)
        self.assertEqual(load.labels, names["model"].labels)
        usual = mohvit.Model(preprocess={"crop_pct": 0.875})  # that of ImageNet, where nothing else is said
        np.testing.assert_array_equal(load.active[0], np.maximum(usual(names["paths"]).head_tokens.sum(axis=0), -1))
        public = set(mohvit.__all__) - {"Block", "CancelledError", "Evaluation", "Features", "Prediction", "Result", "Error", "program_path"}
        self.assertEqual([name for name in sorted(public) if name not in page], [])

    def test_notebook_heads(self):
        names = runpy.run_path(os.path.join(ROOT, "docs", "notebook_heads.py"))
        self.assertGreater(names["top1"], 0.92)
        np.testing.assert_array_equal(names["load"].images, np.bincount(names["classes"]))
        self.assertLess(names["distance"].min(), 0.2)
        panels = [axes.images[0].get_clim() for axes in names["axes"][1:]]
        self.assertEqual(panels, [(0, names["gates"].max())] * names["gates"].shape[1])
        self.assertEqual(names["figure"].axes[-1].get_ylabel(), "gate")
        for figure in ("heads_of_classes.png", "heads_of_all_classes.png", "gates_of_a_sneaker.png"):
            self.assertGreater(os.path.getsize(figure), 5000)

    def test_notebook_probe(self):
        names = runpy.run_path(os.path.join(ROOT, "docs", "notebook_probe.py"))
        self.assertGreater(names["own"], 0.92)
        self.assertGreater(names["clothing"], 0.9)
        self.assertGreater(names["light"], names["common"] + 0.1)


class Network:
    """As a module of PyTorch has it."""

    def state_dict(self):
        from support import BUILT_IN, load_safetensors
        return load_safetensors(BUILT_IN)


if __name__ == "__main__":
    unittest.main()
