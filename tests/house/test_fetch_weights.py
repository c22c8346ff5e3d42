#!/usr/bin/python3
"""What tools/fetch-weights makes of what a hub can say, against a server on this machine: test_fetch_weights.py SOURCE MOHVIT"""

import hashlib
import http.server
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import unittest

SOURCE, MOHVIT = sys.argv.pop(1), sys.argv.pop(1)
TOOL = f"{SOURCE}/tools/fetch-weights"


class Hub(http.server.BaseHTTPRequestHandler):
    """Serves the server's page and file; a range where asked, and only the first bytes where it is told to break off."""

    def do_GET(self):
        server = self.server
        server.asked.append((self.path, self.headers.get("Range")))
        if self.path == "/api/models/Chat-UniVi/MoH-ViT-S-75?blobs=true":
            return self.answer(200, server.page)
        if not self.path.startswith("/Chat-UniVi/MoH-ViT-S-75/resolve/abc123/"):
            return self.answer(404, b"no such page")
        if "Range" not in self.headers:
            return self.answer(200, server.file, server.break_off)
        first = int(self.headers["Range"].removeprefix("bytes=").rstrip("-"))
        self.answer(206, server.file[first:], None, f"bytes {first}-{len(server.file) - 1}/{len(server.file)}")

    def answer(self, status, body, sent=None, content_range=None):
        self.send_response(status)
        self.send_header("Content-Length", len(body))
        if content_range:
            self.send_header("Content-Range", content_range)
        self.end_headers()
        self.wfile.write(body[:sent])

    def log_message(self, *_):
        pass


class FetchWeights(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="mohvit-test-")
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
        self.server.asked, self.server.break_off = [], None
        with open(f"{SOURCE}/tests/golden/pth/plain.pth", "rb") as f:
            self.server.file = f.read()
        self.publish({"rfilename": "README.md", "size": 3}, self.checkpoint("model.pth"))
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def tearDown(self):
        self.server.shutdown()
        self.server.server_close()
        shutil.rmtree(self.directory)

    def checkpoint(self, name, **changed):
        digest = hashlib.sha256(self.server.file).hexdigest()
        return {"rfilename": name, "lfs": {"sha256": digest, "size": len(self.server.file), **changed}}

    def publish(self, *files):
        self.server.page = json.dumps({"sha": "abc123", "siblings": files}).encode()

    def run_tool(self, *arguments, status=0, **environment):
        hub = f"http://127.0.0.1:{self.server.server_port}"
        done = subprocess.run([TOOL, *arguments], cwd=self.directory, capture_output=True, text=True, timeout=60,
                              env={**os.environ, "HF_ENDPOINT": hub, "no_proxy": "127.0.0.1", **environment})
        self.assertEqual(done.returncode, status, done.stderr)
        return done

    def fetch(self, *arguments, **kwargs):
        return self.run_tool("moh_transnext_small_75", *arguments, **kwargs)

    def left(self):
        return sorted(os.listdir(self.directory))

    def content(self, name):
        with open(f"{self.directory}/{name}", "rb") as f:
            return f.read()

    def write(self, name, content):
        with open(f"{self.directory}/{name}", "wb") as f:
            f.write(content)

    def test_it_brings_the_one_checkpoint_of_the_page_which_the_program_reads(self):
        done = self.fetch()
        self.assertEqual(self.left(), ["moh_transnext_small_75.pth"])
        self.assertEqual(done.stdout, "mohvit classify --weights moh_transnext_small_75.pth PICTURE\n")
        self.assertIn(f"SHA-256 {hashlib.sha256(self.server.file).hexdigest()}, as the hub has it", done.stderr)
        self.assertNotIn("#", done.stderr)  # no bar of progress off a terminal
        subprocess.run([MOHVIT, "info", "--weights", "moh_transnext_small_75.pth", "--config",
                        f"{SOURCE}/tests/golden/pth/config.json"], cwd=self.directory, check=True, capture_output=True)

    def test_what_is_not_what_was_published_is_not_kept(self):
        for changed, expected in (({"sha256": "0" * 64}, "expected SHA-256 000"), ({"size": 7}, "expected 7 bytes")):
            self.publish(self.checkpoint("model.pth", **changed))
            done = self.fetch(status=1)
            self.assertIn(expected, done.stderr)
            self.assertIn("found", done.stderr)
            self.assertEqual(self.left(), [])

    def test_a_download_that_broke_off_goes_on_where_it_was(self):
        self.server.break_off = 1000
        self.fetch(status=1)
        self.assertEqual(self.left(), ["moh_transnext_small_75.pth.part"])
        self.assertEqual(self.content("moh_transnext_small_75.pth.part"), self.server.file[:1000])
        self.server.break_off = None
        self.fetch()
        self.assertEqual(self.server.asked[-1][1], "bytes=1000-")
        self.assertEqual(self.content("moh_transnext_small_75.pth"), self.server.file)
        self.assertEqual(self.left(), ["moh_transnext_small_75.pth"])

    def test_a_download_that_was_whole_is_not_made_again(self):
        self.write("moh_transnext_small_75.pth.part", self.server.file)
        self.fetch()
        self.assertEqual(len(self.server.asked), 1)
        self.assertEqual(self.left(), ["moh_transnext_small_75.pth"])

    def test_without_a_hash_it_says_what_it_got(self):
        self.publish({"rfilename": "model.bin", "size": len(self.server.file)})
        done = self.fetch()
        self.assertIn(hashlib.sha256(self.server.file).hexdigest() + "; the hub gives no hash to compare with", done.stderr)
        self.assertEqual(self.left(), ["moh_transnext_small_75.bin"])

    def test_a_file_that_is_there_is_checked_and_kept(self):
        self.write("mine.pth", self.server.file)
        self.assertIn("is there already, and its SHA-256 is right", self.fetch("--out", "mine.pth").stderr)
        self.write("mine.pth", b"something else")
        self.assertIn("mine.pth: expected", self.fetch("--out", "mine.pth", status=1).stderr)
        self.assertEqual(self.content("mine.pth"), b"something else")

    def test_several_checkpoints_are_chosen_from_by_name(self):
        self.publish(self.checkpoint("a.pth"), self.checkpoint("b.safetensors"))
        self.assertIn("choose one with --file; found a.pth, b.safetensors", self.fetch(status=1).stderr)
        self.fetch("--file", "b.safetensors")
        self.assertEqual(self.left(), ["moh_transnext_small_75.safetensors"])

    def test_what_cannot_be_had_is_told(self):
        self.publish({"rfilename": "README.md"})
        self.assertIn("expected one file of .pth, .bin, .safetensors", self.fetch(status=1).stderr)
        self.server.page = b"<html>"
        self.assertIn("expected JSON with a list of files", self.fetch(status=1).stderr)
        offline = self.run_tool("transnext_tiny", status=1).stderr
        for hint in "needs the internet", "--hub", "a browser has downloaded":
            self.assertIn(hint, offline)
        self.assertIn("invalid choice", self.run_tool("resnet", status=2).stderr)
        self.assertEqual(self.left(), [])

    def test_all_eleven_have_an_address(self):
        lines = self.run_tool("--list").stdout.splitlines()
        self.assertEqual(len(lines), 11)
        self.assertEqual(sum("--size 384" in line for line in lines), 2)


if __name__ == "__main__":
    unittest.main()
