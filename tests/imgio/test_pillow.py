#!/usr/bin/python3
"""test_pillow.py PICTURES: damaged pictures are read where Pillow reads them, to the same pixels, and refused where it
refuses them. PICTURES is the program of pictures.c; damages.py makes the table."""

import collections
import io
import os
import subprocess
import sys
import tempfile
import warnings

from PIL import Image

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import damages

warnings.simplefilter("ignore")  # Pillow's, of notes that make no sense


def by_pillow(data):
    """(width, height, pixels), or why not."""
    try:
        with Image.open(io.BytesIO(data)) as picture:
            return picture.size, picture.convert("RGB").tobytes()
    except Exception as why:
        return None, "%s: %s" % (type(why).__name__, why)


class Ours:
    def __init__(self, program, folder):
        self.path = os.path.join(folder, "damaged")
        self.process = subprocess.Popen([program, "read"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def read(self, data):
        with open(self.path, "wb") as f:
            f.write(data)
        self.process.stdin.write(self.path.encode() + b"\n")
        self.process.stdin.flush()
        width, height, *why = self.process.stdout.readline().decode().split(None, 2)
        size = int(width), int(height)
        if size == (0, 0):
            return None, why[0].strip()
        return size, self.process.stdout.read(3 * size[0] * size[1])

    def close(self):
        self.process.stdin.close()
        return self.process.wait()


def main(program):
    outcomes = collections.defaultdict(collections.Counter)
    differ = []
    with tempfile.TemporaryDirectory() as folder:
        sound = os.path.join(folder, "sound")
        os.mkdir(sound)
        subprocess.run([program, "write", sound], check=True)
        ours = Ours(program, folder)
        for name, what, data in damages.all(sound):
            expected, found = by_pillow(data), ours.read(data)
            same = expected[0] == found[0] and (expected[0] is None or expected[1] == found[1])
            kind = name.rsplit(".", 1)[1]
            outcomes[kind]["refused" if expected[0] is None else "read"] += 1
            if not same:
                differ.append((name, what, expected, found))
        status = ours.close()
    for kind, counts in sorted(outcomes.items()):
        print("%-4s  %4d files: Pillow reads %d and refuses %d" % (kind, sum(counts.values()), counts["read"],
                                                                  counts["refused"]))
        assert counts["read"] >= 40 and counts["refused"] >= 40, "the table of %s is too small" % kind
    for name, what, expected, found in differ:
        for who, (size, rest) in ("Pillow", expected), ("mohvit", found):
            print("FAILED: %s: %s: %s %s" % (name, what, who,
                                             "refuses: " + rest if size is None else "reads %d x %d" % size))
    assert status == 0, "the reader ended with %d" % status
    sys.exit(len(differ) > 0)


main(sys.argv[1])
