#!/usr/bin/python3
"""Uses the page in one file, from a disk, in Chromium: test_web_page.py PAGE MOHVIT MAKE_HEAD_LOAD [SCREENSHOTS].

What it shows is what the program prints: the answer for a picture that is dropped, at any top-k, heads of any block, loads;
of checkpoints and head loads that are dropped, too. Files that are neither are told of. Nothing is requested, and nothing
could be. Keys are enough, axe-core finds nothing to mend, nothing overflows. SCREENSHOTS is a folder to leave pictures in."""

import csv
import http.server
import io
import json
import os
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request

from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

from measure_web_page import measure
from web_page import DROP, Page, browser, encoded, picture, read

from chromium import check, check_axe, failures  # from where web_page looks

page_file, mohvit, make_head_load = (os.path.abspath(p) for p in sys.argv[1:4])
screenshots = sys.argv[4] if len(sys.argv) > 4 else None
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HEAD_LOAD = os.path.join(ROOT, "bindings/web/demo/fashion_mnist.head_load.safetensors")
NANO = os.path.join(ROOT, "weights/moh_vit_nano.safetensors")
PTH = os.path.join(ROOT, "tests/golden/pth")
SERVE = os.path.join(ROOT, "bindings/web/demo/serve.mjs")
SAMPLE = os.path.join(ROOT, "tools/samples/ankle_boot.png")
HOSTILE = ["n02088364\tbeagle, a dog", "<img src=x onerror=\"document.title='broken out'\">", "</script><script>document.title='broken out'</script>",
           "Ünïcödé 鶴", "&amp; &lt;b&gt;", "a \"quoted\" name"] + [f"class {i}" for i in range(4)]


def shoot(page, name):
    if screenshots:
        page.shoot(screenshots, name)


def said(*arguments):
    """JSON of the program."""
    out = subprocess.run([mohvit, *arguments], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return json.loads(out.stdout)


def classified(*arguments):
    return said("classify", "--format", "json", "--top", "5", *arguments)


def routed(path, block):
    return said("routes", path, "-o", "-", "--block", block)["blocks"]


def same_top(page, what, expected, view=0):
    shown = page.top(view)
    check(f"{what}: the program's top-5", len(shown) == min(5, len(expected["top"])) and all(
        label == e["label"].split(",")[0] and abs(value - 100 * e["prob"]) < 0.06 for (label, value), e in zip(shown, expected["top"])),
        f"{shown} {expected['top']}")


def check_picture(page, path):
    before = page.answers()
    page.drop((os.path.basename(path), read(path)))
    check("a picture that is dropped is answered", page.answers() == before + 1)
    check("its name is shown", page.text(".answer h3").startswith(os.path.basename(path)))
    same_top(page, "a picture", classified(path))
    check("what is said is the answer", page.top()[0][0] in page.text("#status"), page.text("#status"))


def check_blocks(page, path):
    """Heads of every block, by the loads that `routes` tells."""
    blocks = routed(path, "all")
    check("blocks to compare", len(blocks) == 6, len(blocks))
    for i, block in enumerate(blocks):
        Select(page.find("#block")).select_by_index(i)
        captions = page.texts("#tiles .caption")
        expected = []
        for h, head in enumerate(block["heads"]):
            shared = head["kind"] == "shared"
            number = h + 1 - (0 if shared else block["shared"])
            expected.append(f"s{number}" if shared else f"r{number} {int(100 * head['load'] + 0.5)} %")
        check(f"block {i}: heads and their loads", captions == expected, f"{captions} {expected}")
        side = round(len(block["heads"][0]["gate"]) ** 0.5)
        page.js("document.querySelector('#patches').focus()")
        page.find("#patches").send_keys(Keys.PAGE_UP, Keys.HOME, *[Keys.ARROW_RIGHT] * (side - 1))  # top right
        shown = page.texts("#gates .value")
        gates = [head["gate"][side - 1] if head["mask"][side - 1] else None for head in block["heads"]]
        check(f"block {i}: gates of a patch", all(text == "–" if gate is None else abs(float(text) - gate) < 0.006
                                                   for text, gate in zip(shown, gates)) and len(shown) == len(gates), f"{shown} {gates}")
        check(f"block {i}: heads of the patch stay bright", page.js(
            "return [...document.querySelectorAll('.tile')].map(e => e.classList.contains('picked'))") == [gate is not None for gate in gates])
    check("the last block has no next one", page.find("#next").get_attribute("aria-disabled") == "true")
    page.click("#previous")
    check("a button goes to the block before", page.find("#block").get_attribute("value") == "4")


def lit(page, tile):
    """Patches of a head's view in colour, among the middles of all patches."""
    return page.js("""
        const from = document.querySelectorAll('.tile')[arguments[0]].querySelector('canvas'), side = arguments[1], found = [];
        const context = new OffscreenCanvas(from.width, from.height).getContext('2d', { willReadFrequently: true });
        context.drawImage(from, 0, 0);
        for (let i = 0; i < side * side; i++) {
            const [r, g, b] = context.getImageData((i % side + 0.5) * from.width / side, (Math.floor(i / side) + 0.5) * from.height / side, 1, 1).data;
            found.push(r - b > 20);
        }
        return found;""", tile, 4)


def check_heads(page, path):
    block = routed(path, "3.2")[0]
    Select(page.find("#block")).select_by_index(4)
    for h, head in enumerate(block["heads"]):
        check("a view lights the patches that picked the head", lit(page, h) == [bool(m) for m in head["mask"]], f"{h} {lit(page, h)}")
    rows = list(csv.DictReader(io.StringIO(subprocess.run([mohvit, "headload", "export", "--csv", HEAD_LOAD], check=True,
                                                          stdout=subprocess.PIPE).stdout.decode())))
    page.js("document.querySelector('.tile[tabindex=\"0\"]').focus()")
    page.driver.switch_to.active_element.send_keys(Keys.HOME, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    check("arrows move among heads", page.text("#head-title") == "Head r2 of block 3.2", page.text("#head-title"))
    for measure in ("gate", "load"):
        Select(page.find("#measure")).select_by_value(measure)
        shown = dict(zip(page.texts("#profile .name"), page.texts("#profile .value")))
        wanted = {r["label"]: float(r[measure]) for r in rows if (r["stage"], r["block"], r["head"]) == ("3", "2", "3")}
        check("the profile of a head is the head load's", len(wanted) == 10 and all(
            abs(float(shown.get(k, -1)) - v) < 0.0051 for k, v in wanted.items()), f"{measure} {shown} {wanted}")
    check("the answer's class is marked", page.texts("#profile .answer-class .name") == [page.top()[0][0]])


def set_step(page, step):
    page.js("const s = document.querySelector('#slider'); s.value = arguments[0]; s.dispatchEvent(new Event('input'))", step)
    page.settle()


def check_topk(page, path):
    most = int(page.find("#slider").get_attribute("max"))
    set_step(page, most)
    check("the slider says how many", page.text("#topk-value") == "6 of 6", page.text("#topk-value"))
    same_top(page, "all heads", classified("--routed-heads", "100%", path))
    check("what was is marked", len(page.js("return document.querySelectorAll('.top .was')")) == 5)
    set_step(page, 0)
    same_top(page, "a tenth of the heads", classified("--routed-heads", "10%", path))
    check("heads follow", page.text("#block-note").endswith("picks 1 of 6 routed heads."), page.text("#block-note"))
    line = page.js("return document.querySelector('.chart path[fill=none]').getAttribute('d').split(/[ML]/).length - 1")
    check("the chart has every top-k", line == most + 1, f"{line} {most}")
    page.click("#trained")
    page.settle()
    same_top(page, "as trained", classified(path))


def check_two(page, first, second):
    page.drop(*[(os.path.basename(p), read(p)) for p in (first, second)])
    for view, path in enumerate((first, second)):
        same_top(page, f"picture {view} of two", classified(path), view)
    check("heads show both", len(page.js("return document.querySelectorAll('.tile:first-child canvas')")) == 2)
    check("loads of both", " · " in page.texts("#tiles .caption")[2])
    shoot(page, "two")
    page.click("#strip li.second button:last-child")
    page.settle()
    check("one again", len(page.js("return document.querySelectorAll('.answer')")) == 1)


def check_bad_files(page):
    top = page.top()
    for name, content in (("notes.txt", b"not a picture"), ("cut.png", read(SAMPLE)[:200]), ("empty", b""),
                          ("<b>.pth", b"PK\x03\x04 and no more"), ("cut.safetensors", read(NANO)[:5000]),
                          ("cut_load.safetensors", read(HEAD_LOAD)[:9000]), ("alone.json", b"{}")):
        page.drop((name, content))
        check("a bad file is told of", name in page.problem() or name == "alone.json" and "config" in page.problem(), f"{name}: {page.problem()}")
        check("the answer stays", page.top() == top and page.text("#model dd") == "moh_vit_nano", name)
    page.click("#problem-close")
    check("a message can be closed", not page.find("#problem").is_displayed())


def check_checkpoints(page, path):
    config, checkpoint = os.path.join(PTH, "config.json"), os.path.join(PTH, "plain.pth")
    page.drop((os.path.basename(path), read(path)))
    page.drop(("config.json", read(config)), ("plain.pth", read(checkpoint)))
    check("a .pth is opened", page.texts("#model dd")[:3] == ["custom", "plain.pth", "5"], page.texts("#model dd"))
    same_top(page, "a .pth", classified("--weights", checkpoint, "--config", config, path))
    check("its heads have no profile", not page.texts("#profile li") and "another model" in page.text("#profile-note"), page.text("#profile-note"))
    page.drop(("mine.safetensors", read(NANO)))
    check("a .safetensors is opened", page.texts("#model dd")[:2] == ["moh_vit_nano", "mine.safetensors"], page.texts("#model dd"))
    same_top(page, "a .safetensors", classified(path))
    page.click("#model-reset")
    page.wait(lambda: page.texts("#model dd")[1] == "built in")
    page.settle()


def check_head_load(page, folder):
    labels, made = os.path.join(folder, "labels.txt"), os.path.join(folder, "made.safetensors")
    with open(labels, "w", encoding="utf-8") as f:
        f.write("\n".join(HOSTILE) + "\n")
    subprocess.run([make_head_load, made, "nano", labels], check=True, stdout=subprocess.DEVNULL)
    page.drop(("made.safetensors", read(made)))
    rows = list(csv.DictReader(io.StringIO(subprocess.run([mohvit, "headload", "export", "--csv", made], check=True,
                                                          stdout=subprocess.PIPE).stdout.decode())))
    Select(page.find("#load-block")).select_by_index(5)
    lines = page.js("return [...document.querySelectorAll('#map tbody tr')].map(r => [...r.cells].map(c => c.textContent))")
    check("a head load has all classes, by name", [line[0] for line in lines] == [n.split("\t")[-1].split(",")[0] for n in HOSTILE], lines)
    for c, line in enumerate(lines):
        wanted = [r for r in rows if (r["class"], r["stage"], r["block"], r["kind"]) == (str(c), "4", "0", "routed")]
        check("the map of a head load is what `export` prints", len(wanted) == len(line) - 1 and all(
            text == "–" if r["tokens"] == "0" else abs(float(text) - float(r["load"])) < 0.0051 for text, r in zip(line[1:], wanted)), f"{line} {wanted}")
    check("names are text", "broken" not in page.driver.title and not page.js("return document.querySelectorAll('img').length"))
    page.click("#load-reset")
    check("the built-in head load is back", page.text("#load-note").startswith("Fashion-MNIST"))


def check_camera(page):
    page.click("#camera")
    before = page.answers()
    page.wait(lambda: page.answers() >= before + 2)
    check("what the camera sees is answered", page.text(".answer h3").startswith("Camera"), page.text(".answer h3"))
    page.click("#camera")
    page.wait(lambda: len(page.js("return document.querySelectorAll('#strip li.shown')")) == 1 and page.data("state") == "ready")
    check("the last picture is kept", page.js("return document.querySelector('#video').hidden"))


def check_keys(page):
    """Tab goes through all controls, and what has the focus is seen."""
    page.js("document.body.tabIndex = -1; document.body.focus(); document.body.removeAttribute('tabindex')")
    page.driver.switch_to.active_element.send_keys(Keys.TAB)
    reached = []
    while True:
        name, seen, again = page.js("""
            const e = document.activeElement, s = getComputedStyle(e), again = e.dataset.tabbed !== undefined;
            e.dataset.tabbed = '';
            return [e === document.body ? '' : e.id || e.textContent.slice(0, 20) || e.ariaLabel, s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2, again];""")
        if not name or again:
            break
        check("the focus is seen", seen, name)
        reached.append(name)
        page.driver.switch_to.active_element.send_keys(Keys.TAB)
    left = page.js("""
        const of = 'a[href], button:not(.tile), select, input, summary, [tabindex="0"]';
        return [...document.querySelectorAll(of)].filter(e => e.dataset.tabbed === undefined && e.offsetParent).map(e => e.outerHTML.slice(0, 80));""")
    check("Tab reaches every control", not left, left)
    check("the way begins at the link that skips it", reached[0].startswith("Skip"), reached)
    order = [i for i in reached if i in ("choose", "slider", "block", "patches", "measure")]
    check("controls come as they stand", order == ["choose", "slider", "block", "patches", "measure"], reached)


def check_widths(page):
    for width in (320, 390, 768, 1280, 1920):
        page.emulate(width)
        wide = page.js("""
            const width = document.documentElement.clientWidth;
            return [document.documentElement.scrollWidth - width, [...document.querySelectorAll('body *')].filter(
                e => !e.parentElement.closest('.scroll, #strip, svg') && !e.matches('.skip') && e.getBoundingClientRect().right > width + 0.5)
                .map(e => e.outerHTML.slice(0, 80))]""")
        check(f"nothing overflows at {width} pixels", wide == [0, []], wide)
    page.emulate(1280)


def check_quiet(page):
    """No message on the console, and no request but for the page itself and what it is made of."""
    log = page.driver.get_log("browser")
    check("no console message", not log, log[:3])
    sent = [json.loads(e["message"])["message"] for e in page.driver.get_log("performance")]
    urls = [e["params"]["request"]["url"] for e in sent if e["method"] == "Network.requestWillBeSent"]
    other = [u for u in urls if not u.startswith(("data:", "blob:")) and u != page.address]
    check("the page was seen to be read", page.address in urls, urls[:3])
    check("no request", not other, other[:3])


def check_closed(page):
    """Not even a script that got in could send something away."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()

        do_POST = do_GET

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    blocked = page.driver.execute_async_script("""
        const [to, done] = arguments, blocked = [];
        document.addEventListener('securitypolicyviolation', e => blocked.push(e.effectiveDirective));
        fetch(to + 'fetch').catch(() => {});
        new Image().src = to + 'image';
        for (const [tag, attribute] of [['script', 'src'], ['iframe', 'src'], ['link', 'href'], ['video', 'src'], ['object', 'data']]) {
            const e = document.createElement(tag);
            e.rel = 'stylesheet';
            e[attribute] = to + tag;
            document.body.append(e);
        }
        try { new WebSocket(to.replace('http', 'ws') + 'socket'); } catch {}
        navigator.sendBeacon(to + 'beacon', 'x');
        const form = document.createElement('form');
        form.action = to + 'form';
        document.body.append(form);
        form.submit();
        const end = performance.now() + 30000;
        setTimeout(function wait() {
            blocked.includes('form-action') || performance.now() > end ? done(blocked) : setTimeout(wait, 100);
        }, 1000);""", f"http://127.0.0.1:{server.server_address[1]}/")
    server.shutdown()
    check("nothing can be sent", not asked, asked)
    check("the policy has refused it", {"connect-src", "img-src", "script-src-elem", "form-action"} <= set(blocked), blocked)


def check_early(page, path):
    """Files that are dropped before there is a model wait for it."""
    early = page.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": f"""
        document.addEventListener('DOMContentLoaded', () => {{
            const files = {json.dumps(encoded([("early.safetensors", read(HEAD_LOAD)), (os.path.basename(path), read(path))]))};
            document.documentElement.dataset.early = !document.documentElement.dataset.ready;
            document.addEventListener('taken', () => document.documentElement.dataset.taken = 'yes', {{ once: true }});
            {DROP}
        }});"""})
    page.open(page.address)
    page.wait(lambda: page.data("taken"))
    page.settle()
    check("there was no model yet", page.data("early") == "true")
    check("a head load that is dropped early is read", page.text("#load-note").startswith("early.safetensors: 10"), page.text("#load-note"))
    check("no problem with early files", not page.problem(), page.problem())
    same_top(page, "a picture that is dropped early", classified(path))
    page.driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", early)


def shown(page):
    """All that depends on what the model computes."""
    return [page.texts(selector) for selector in (".top li", "#tiles .caption", "#gates .value", "#head-note", "#topk-note")]


def check_served(page, folder, path):
    """`serve` isolates the page, which then has threads, and gives nothing else."""
    config, checkpoint = os.path.join(folder, "config.json"), os.path.join(folder, "threads.safetensors")
    with open(config, "w", encoding="utf-8") as f:  # above 0.1 GMAC: others stay with one thread
        json.dump({"embed_dims": [32, 48, 64, 96], "num_heads": [2, 2, 4, 8], "mlp_ratios": [2] * 4, "depths": [1] * 4, "sr_ratios": [8, 4, 2, 1],
                   "shared_head": [2, 0, 1, 2], "routed_head": [0, 1, 2, 3], "num_classes": 5, "img_size": 224}, f)
    subprocess.run([mohvit, "synth", "--config", config, checkpoint], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    files = [("threads.safetensors", read(checkpoint)), (os.path.basename(path), read(path))]
    page.open(page.address)
    page.drop(*files)
    alone, threads = shown(page), page.texts("#model dd")[-1]
    check("a page from a disk has one thread", threads == "1", threads)

    server = subprocess.Popen(["node", SERVE, page_file, "0"], stdout=subprocess.PIPE, text=True)
    try:
        url = server.stdout.readline().strip()
        page.driver.execute_cdp_cmd("Emulation.setHardwareConcurrencyOverride", {"hardwareConcurrency": 3})
        page.open(url)
        check("the page that is served is isolated", page.js("return crossOriginIsolated") is True)
        same_top(page, "a page that is served", classified(SAMPLE))
        page.drop(*files)
        threads = page.texts("#model dd")
        check("the page that is served has threads", threads[1:2] + threads[-1:] == ["threads.safetensors", "3"], f"{threads} {page.problem()}")
        check("threads give what one thread gives", shown(page) == alone and alone[0], f"{shown(page)} {alone}")
        try:
            urllib.request.urlopen(url + "package.json")
            check("nothing else is served", False)
        except urllib.error.HTTPError as e:
            check("nothing else is served", e.code == 404, e.code)
    finally:
        server.terminate()
        server.wait()


def main():
    driver = browser()
    try:
        with tempfile.TemporaryDirectory() as folder:
            page = Page(driver, page_file)
            page.emulate(1280)
            page.theme("light")
            same_top(page, "the first sample", classified(SAMPLE))
            shoot(page, "first")
            bag = picture(folder, "bag.png", (512, 512), (210, 200, 190))
            check_picture(page, bag)
            check_blocks(page, bag)
            check_heads(page, bag)
            check_topk(page, bag)
            check_two(page, SAMPLE, picture(folder, "wide.png", (300, 200), (120, 160, 255)))
            check_bad_files(page)
            check_checkpoints(page, bag)
            check_head_load(page, folder)
            check_camera(page)
            check_keys(page)
            check_axe(page.driver, page.theme)
            page.theme("light")
            check_widths(page)
            measure(page, folder, sizes=[(512, 512)], drops=1)
            check_early(page, bag)
            check_quiet(page)
            check_closed(page)
            check_served(page, folder, bag)
    finally:
        driver.quit()
    print(f"{len(failures)} failures" if failures else "the page shows what the program prints")
    return 1 if failures else 0


sys.exit(main())
