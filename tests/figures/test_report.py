#!/usr/bin/python3
"""Opens the report of a head load in Chromium and uses it: test_report.py MOHVIT MAKE_HEAD_LOAD LABELS.

No console error and no request; classes without pictures are left out; class search narrows; the block selector changes the
heatmap; what every view shows is what `headload export` and `headload stats` print; names are text; keys alone are enough;
nothing overflows, nothing is lost on paper, files of what is shown stand alone, axe-core finds nothing to mend; what heads
cost is what the file says, and the pictures that use them most are those of `headload top`. At the size of the B models the
page is below 10 MB and opens within two seconds: of the processor, in the page's own thread, since what others do on the
machine says nothing of the page."""

import base64
import csv
import io
import json
import os
import random
import struct
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.parse
import xml.etree.ElementTree as ElementTree

import numpy as np
from PIL import Image
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from chromium import browser, check, check_axe, failures

mohvit, make_head_load, imagenet = (os.path.abspath(p) for p in sys.argv[1:4])
HOSTILE = [
    "</script><script>document.title='broken out'</script>",
    '<img src=x onerror="document.title=1">',
    'a "quoted" name, with a comma',
    " leading blank",
    "Ünïcödé 鶴",
    "&amp; &lt;b&gt;",
    "{\"json\": [1, 2]}",
    "crane",
    "crane, machine",
    "]]> <!-- comment",
    "${evil} {{DATA}} \\u003c \u202e",
]
EMPTY = "without pictures"  # as the last class of a made-up head load is


def run(*arguments):
    return subprocess.run(arguments, check=True, stdout=subprocess.PIPE).stdout


def wait(condition):
    end = time.monotonic() + 300  # a busy machine is no fault of the page
    while not condition():
        if time.monotonic() > end:
            raise RuntimeError("the page does not get there")
        time.sleep(0.01)


def roughen(path):
    """Gates and squares with the digits that real ones have: what make_head_load writes follows a rule, and packs well."""
    with open(path, "rb") as f:
        length = int.from_bytes(f.read(8), "little")
        header = json.loads(f.read(length))
    file = np.memmap(path, np.uint8, "r+", offset=8 + length)

    def tensor(name):
        first, end = header[name]["data_offsets"]
        return file[first:end].view("<f8" if header[name]["dtype"] == "F64" else "<i8").reshape(header[name]["shape"])

    rng = np.random.default_rng(7)
    active, gate = tensor("active"), tensor("gate_sum")
    n = np.maximum(tensor("images"), 1)[:, None, None]
    tokens = np.maximum(tensor("tokens") / n[:, :, 0], 1)[:, :, None]
    gate[:] = np.round(gate * rng.uniform(0.7, 1, gate.shape) * 2 ** 20) / 2 ** 20
    squares, least = tensor("active_squares"), np.ceil(active ** 2 / n)
    most = np.where(rng.uniform(size=gate.shape) < 0.1, 0.9 * tokens * active, squares)  # in places few images decide
    rough = np.maximum(least, most - rng.uniform(0, 0.5, gate.shape) * np.maximum(most - least, 0))
    squares[:] = np.where((active > 0) & (active < n * tokens), rough, squares)
    mean = gate * 2 ** 16 / tokens
    tensor("gate_squares")[:] = np.ceil(mean ** 2 / n * rng.uniform(1, 1.3, gate.shape))


class Page:
    """A head load, its page in the browser, and what the program prints of it."""

    def __init__(self, driver, folder, name, variant, labels, rough=False):
        self.driver = driver
        load = os.path.join(folder, name + ".safetensors")
        page = os.path.join(folder, name + ".html")
        run(make_head_load, load, variant, labels)
        if rough:
            roughen(load)
        run(mohvit, "headload", "report", load, "-o", page)
        self.csv_text = run(mohvit, "headload", "export", "--csv", load).decode()
        self.rows = {(int(r["class"]), f"{r['stage']}.{r['block']}", int(r["head"])): r
                     for r in csv.DictReader(io.StringIO(self.csv_text))}
        with open(labels, encoding="utf-8") as f:
            self.names = [line.rstrip("\n").split("\t")[-1] for line in f]
        self.counted = [c for c in range(len(self.names)) if self.rows[c, "1.0", 0]["images"] != "0"]
        self.shown = [self.names[c] for c in self.counted]
        self.stats = json.loads(run(mohvit, "headload", "stats", "--format", "json", load))
        self.size = os.path.getsize(page)
        self.driver.get("about:blank")
        self.driver.execute_cdp_cmd("Performance.enable", {"timeDomain": "threadTicks"})
        self.driver.get("file://" + page)
        wait(lambda: self.js("return document.documentElement.dataset.ready"))
        self.seconds = self.busy()

    def theme(self, name):
        if self.js("return document.documentElement.dataset.theme") != name:
            self.click("#theme")

    def emulate(self, width):
        """A window of so many pixels; None: as it was."""
        self.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        if width:
            self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride",
                                        {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False})
        self.js("return document.body.offsetWidth")
        time.sleep(0.1)

    def busy(self):
        """Processor seconds of the page's thread since it was opened."""
        metrics = self.driver.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
        return {m["name"]: m["value"] for m in metrics}["TaskDuration"]

    def js(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def find(self, selector):
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector):
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def click(self, selector):
        self.js("arguments[0].click()", self.find(selector))

    def readout(self):
        return self.find("#readout").text

    def select_block(self, name):
        options = self.js("return [...document.querySelector('#block').options].map(o => o.text)")
        index = [o.split(":")[0] for o in options].index(name)
        Select(self.find("#block")).select_by_index(index)
        self.wait_for(name)

    def wait_for(self, block):
        wait(lambda: self.js("return document.documentElement.dataset.block") == block)

    def block_names(self):
        return [o.split(":")[0] for o in
                self.js("return [...document.querySelector('#block').options].map(o => o.text)")]


def digits(text):
    return "".join(c for c in text if c.isdigit())


def near(shown, value, places):
    """Whether `shown` is value with so many decimals (or the last one off by rounding)."""
    return abs(float(shown) - float(value)) <= 0.5000001 * 10 ** -places


def check_heatmap(page, rng):
    """Ten cells reached by keys, whose values are read from the live line."""
    box = page.find("#heatmap")
    page.js("document.querySelector('#shared').checked || document.querySelector('#shared').click()")
    for _ in range(10):
        page.select_block(rng.choice(page.block_names()))
        box.send_keys(Keys.CONTROL, Keys.HOME)
        box.send_keys(*([Keys.ARROW_DOWN] * rng.randrange(12)), *([Keys.ARROW_RIGHT] * rng.randrange(6)))
        text = page.readout()
        block = text.split(", block ")[1].split(",")[0]
        data = page.js("return {...document.querySelector('#readout').dataset}")
        row = page.rows[int(data["class"]), block, int(data["head"])]
        numbers = text.rsplit(": load ", 1)[1]
        load, rest = numbers.split(" (", 1)
        active, tokens = rest.split(" tokens)")[0].split(" of ")
        check("heatmap: load", near(load, row["load"], 4), f"{text} {row}")
        check("heatmap: tokens", digits(active) == row["active"] and digits(tokens) == row["tokens"], f"{text} {row}")
        check("heatmap: gate", near(text.rsplit("gate ", 1)[1], row["gate"], 4), f"{text} {row}")
        check("heatmap: kind", f"{row['kind']} head" in text, text)
        check("heatmap: label", text.startswith(page.names[int(data["class"])].strip()), text)
    page.js("document.querySelector('#shared').click()")


def check_panels(page, rng):
    """Ten bars by their height and title, and ten lines of the tables below them."""
    routed = [f"{b['stage']}.{b['block']}" for b in page.stats["blocks"] if b["routed"]]
    block = rng.choice(routed)
    page.select_block(block)
    panels = page.js("""
        return [...document.querySelectorAll('.panel')].map(p => {
          const svg = p.querySelector('svg'), lines = [...svg.querySelectorAll('line')];
          const zero = Number(lines[0].getAttribute('y1'));
          const texts = [...svg.querySelectorAll('text[text-anchor=end]')].map(t => Number(t.textContent));
          const top = Number(lines[texts.length - 1].getAttribute('y1'));
          return { class: Number(p.dataset.class), zero, top, most: texts[texts.length - 1],
            bars: [...svg.querySelectorAll('rect')].map(r => ({ head: Number(r.dataset.head), y: Number(r.getAttribute('y')),
              height: Number(r.getAttribute('height')), title: r.textContent })) };
        })""")
    shown = page.js("return [...document.querySelectorAll('.panel')].map(p => [Number(p.dataset.class), p.querySelector('small').textContent])")
    for c, text in shown:
        n = int(page.rows[c, block, 0]["images"])
        check("panels: of how many images", n > 0 and text == f"n = {n}", text)
    check("three panels at first", len(panels) == 3, len(panels))
    bars = [(p, b) for p in panels for b in p["bars"]]
    for panel, bar in rng.sample(bars, 10):
        row = page.rows[panel["class"], block, bar["head"]]
        height = bar["height"] / (panel["zero"] - panel["top"]) * panel["most"]
        check("bars: height is the load", abs(height - float(row["load"] or 0)) < 1e-6, f"{bar} {row}")
        check("bars: stand on the axis", abs(bar["y"] + bar["height"] - panel["zero"]) < 1e-6)
        value, *interval = bar["title"].split(": ")[1].split(", ")
        check("bars: title", near(value, row["load"] or 0, 4), f"{bar} {row}")
        check("bars: interval", len(interval) == (row["load_low"] != "") and all(
            near(t.split(" to ")[0], row["load_low"], 3) and ("few" in t) == (row["load_reliable"] == "0")
            for t in interval), f"{bar} {row}")
    page.js("for (const d of document.querySelectorAll('.panel details')) d.open = true")
    time.sleep(0.2)
    lines = page.js("""
        return [...document.querySelectorAll('.panel tbody tr')].map(r => ({ class: Number(r.closest('.panel').dataset.class),
          head: Number(r.dataset.head), cells: [...r.cells].map(c => c.textContent) }))""")
    for line in rng.sample(lines, 10):
        row = page.rows[line["class"], block, line["head"]]
        _, active, load, share, gate, gate_share, interval, gate_interval = line["cells"]
        check("table of a panel", digits(active) == row["active"] and near(load, row["load"], 4) and
              (near(share, row["share"], 4) if row["share"] else share == "–") and near(gate, row["gate"], 4) and
              near(gate_share, row["gate_share"], 4), f"{line} {row}")
        for text, what in ((interval, "load"), (gate_interval, "gate")):
            low, high = text.split(" (")[0].split(" to ")
            check("intervals in the table of a panel", near(low, row[what + "_low"], 3) and
                  near(high, row[what + "_high"], 3) and ("few" in text) == (row[what + "_reliable"] == "0"), f"{line} {row}")
    for measure, column in (("gate", "gate"), ("gate-share", "gate_share"), ("load", "load")):
        Select(page.find("#measure")).select_by_value(measure)
        text = page.readout()
        drawn = page.js("""return [...document.querySelectorAll('.panel')].map(p => [Number(p.dataset.class),
            ...[...p.querySelectorAll('rect')].map(r => [Number(r.dataset.head), r.textContent.split(': ')[1].split(', ')[0]])])""")
        check("bars: a measure is what is asked for", all(near(value, page.rows[c, block, head][column] or 0, 4)
              for c, *bars in drawn for head, value in bars), f"{measure} {drawn[:1]}")
        check("the readout has the interval of the measure", ("95 %" in text) == (column != "gate_share"), text)


def check_intervals(page):
    """Lines on the bars: solid ones where many images decide, dashed ones elsewhere, none without the tick."""
    block = page.block_names()[-1]
    page.select_block(block)
    few = [c for (c, b, h), r in page.rows.items() if b == block and r["load_reliable"] == "0"]
    check("intervals: some are unreliable", few)
    page.js("document.querySelector('#clear').click()")
    for c in sorted(page.counted, key=few.count)[-3:]:
        page.click(f"#option-{c}")

    def lines():
        return page.js("""return [...document.querySelectorAll('.panel')].map(p => [Number(p.dataset.class),
            ...['', ':not([stroke-dasharray])'].map(s => p.querySelectorAll('line.interval' + s).length)])""")

    for c, drawn, solid in lines():
        rows = [r for (k, b, _), r in page.rows.items() if (k, b) == (c, block) and r["kind"] == "routed"]
        there = [r for r in rows if r["load_low"] and float(r["load_low"]) < float(r["load_high"])]
        few = sum(r["load_reliable"] == "0" for r in there)
        check("intervals: a line on every bar, dashed where few images decide",
              drawn == 2 * len(there) and drawn - solid == few, f"{c}: {drawn} {solid} {len(there)} {few}")
    check("intervals: there are panels", len(lines()) > 0)
    page.click("#intervals")
    check("intervals: none without the tick", all(drawn == 0 for _, drawn, _ in lines()), lines())
    page.click("#intervals")


def check_statistics(page):
    """Every line of the table against `headload stats`."""
    shown = page.js("return [...document.querySelectorAll('#stats tbody tr')].map(r => [...r.cells].map(c => c.textContent))")
    blocks = [b for b in page.stats["blocks"] if b["routes"]]
    check("a line for every block that routes", len(shown) == len(blocks))
    for cells, b in zip(shown, blocks):
        check("statistics", cells[0] == f"{b['stage']}.{b['block']}" and near(cells[3], b["load_balanced"], 3) and
              near(cells[4], b["load_min"], 3) and near(cells[5], b["load_max"], 3) and
              near(cells[6].split(" ")[0], 100 * b["load_cv"], 1) and near(cells[7].split(" ")[0], b["entropy"], 3) and
              near(cells[8], b["divergence"], 4) and near(cells[9], b["chance"], 4) and
              near(cells[10], b["divergence_of_pair"], 4) and int(cells[11]) == len(b["dead_heads"]) and
              near(cells[12].split(" ")[0], 100 * b["gate_share_of_routed"], 1), f"{cells} {b}"[:600])
    last = blocks[-1]
    page.select_block(f"{last['stage']}.{last['block']}")
    lines = page.js("return [...document.querySelectorAll('#details table')[0].tBodies[0].rows].map("
                    "r => [...r.cells].map(c => c.textContent))")
    named = [h for h in last["specific_heads"] if h["class_specific"]]
    check("all class-specific heads are shown", len(lines) == min(12, len(named)) > 0, f"{len(lines)} {len(named)}")
    for cells, head in zip(lines[:10], named):
        check("specific heads", cells[0] == f"r{head['head'] - last['shared'] + 1}" and
              near(cells[1], head["specificity"], 4) and near(cells[2], head["chance"], 4) and
              near(cells[3], head["load"], 3) and near(cells[4], head["load_mean"], 3), f"{cells} {head}")
        row = page.rows[head["class"], f"{last['stage']}.{last['block']}", head["head"]]
        check("specific heads: load", near(cells[3], row["load"], 3), f"{cells} {row}")


def check_search(page, word, expected):
    box = page.find("#search")
    before = len(page.all("#list li"))
    box.send_keys(word)
    found = [e.text for e in page.all("#list li")]
    check("search narrows the list", len(found) == expected < before, f"{before} to {len(found)}: {found[:5]}")
    check("search finds the word", all(word.lower() in text.lower() for text in found), found)
    check("search says how many", page.find("#found").text.startswith(str(expected)), page.find("#found").text)
    # By keys alone: into the list, to the second entry, choose it.
    panels = len(page.all(".panel"))
    box.send_keys(Keys.ARROW_DOWN)
    page.driver.switch_to.active_element.send_keys(Keys.ARROW_DOWN, Keys.SPACE)
    check("a key adds a panel", len(page.all(".panel")) == panels + 1)
    chosen = page.find("#list li.current")
    check("it is marked as chosen", chosen.get_attribute("aria-selected") == "true")
    names = [p.get_attribute("aria-label") for p in page.all(".panel")]
    check("it is the one", page.js("return arguments[0].firstChild.textContent", chosen) == names[-1], names)
    page.driver.switch_to.active_element.send_keys(Keys.SPACE)
    check("the same key removes it", len(page.all(".panel")) == panels)
    box.clear()
    box.send_keys(" ", Keys.BACKSPACE)
    check("all are back", len(page.all("#list li")) == before)


def check_block_selector(page):
    names = page.block_names()
    seen = set()
    for name in (names[-1], names[-2], names[-3]):
        page.select_block(name)
        seen.add(page.js("return document.querySelector('#canvas').toDataURL()"))
        check("the readout names the block", f"block {name}," in page.readout(), page.readout())
    check("the block selector changes the heatmap", len(seen) == 3)
    page.click("#next")
    page.wait_for(names[-2])
    check("so does the button beside it", f"block {names[-2]}," in page.readout(), page.readout())


def page_csv(page, button):
    page.js("""window.kept = null; URL.createObjectURL = blob => { window.kept = blob; return 'data:,'; };
               HTMLAnchorElement.prototype.click = () => {}; document.querySelector(arguments[0]).click()""", button)
    wait(lambda: page.js("return window.kept !== null"))
    return page.driver.execute_async_script("window.kept.text().then(arguments[0])")


def check_csv(page, whole):
    if whole:
        differ = [(a, b) for a, b in zip(page_csv(page, "#csv-all").split("\n"), page.csv_text.split("\n")) if a != b]
        check("the page's CSV is the program's", not differ, differ[:3])
    name = page.block_names()[-1]
    page.select_block(name)
    lines = page.csv_text.splitlines(keepends=True)
    stage, block = name.split(".")
    expected = lines[0] + "".join(line for line, row in zip(lines[1:], csv.DictReader(io.StringIO(page.csv_text)))
                                  if (row["stage"], row["block"]) == (stage, block))
    check("the CSV of a block is the program's", page_csv(page, "#csv-block") == expected)


def tabbed(page):
    """What Tab goes through from the top: what each is called, and whether it is seen to have the focus."""
    page.js("document.body.tabIndex = -1; document.body.focus(); document.body.removeAttribute('tabindex')")
    page.driver.switch_to.active_element.send_keys(Keys.TAB)
    reached = []
    while True:
        name, seen, again = page.js("""
            const e = document.activeElement, s = getComputedStyle(e), again = e.dataset.tabbed !== undefined;
            e.dataset.tabbed = '';
            return [e === document.body ? '' : e.id || e.textContent.slice(0, 20), s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2, again];""")
        if not name or again:
            break
        check("the focus is seen", seen, name)
        reached.append(name)
        page.driver.switch_to.active_element.send_keys(Keys.TAB)
    left = page.js("""
        const of = 'a[href], button:not(:disabled), select, input, summary, [tabindex="0"]';
        const left = [...document.querySelectorAll(of)].filter(e => e.dataset.tabbed === undefined && e.offsetParent);
        for (const e of document.querySelectorAll('[data-tabbed]')) delete e.dataset.tabbed;
        return left.map(e => e.outerHTML.slice(0, 80));""")
    check("Tab reaches every control", not left, left)
    return reached


def check_keys(page):
    reached = tabbed(page)
    check("the way begins at the link that skips it", reached[0].startswith("Skip"), reached)
    check("controls come as they stand", [i for i in reached if i in ("theme", "block", "heatmap", "search", "list")] ==
          ["theme", "block", "heatmap", "search", "list"], reached)
    # The last block: a button that can do nothing more keeps the focus.
    names = page.block_names()
    page.select_block(names[-2])
    page.find("#next").send_keys(Keys.ENTER)
    page.wait_for(names[-1])
    check("a button at its end keeps the focus", page.js("return document.activeElement.id") == "next" and
          page.find("#next").get_attribute("aria-disabled") == "true")
    panels = len(page.all(".panel"))
    page.find(".panel button").send_keys(Keys.ENTER)
    check("a panel is removed by a key, and the next one has the focus", len(page.all(".panel")) == panels - 1 and
          page.js("return document.activeElement.matches('.panel button')"))
    check("what is chosen is said", page.find("#chosen").text.startswith(f"{panels - 1} class"), page.find("#chosen").text)
    page.find("#heatmap").send_keys(Keys.CONTROL, Keys.HOME)
    page.find("#heatmap").send_keys(Keys.ENTER)  # adds, or removes
    check("Enter chooses the class of a row", len(page.all(".panel")) != panels - 1)


def check_table_of_cells(page):
    page.select_block(page.block_names()[-2])
    page.js("document.querySelector('#cells').open = true")
    wait(lambda: page.all("#cells td"))
    heads = page.js("return [...document.querySelectorAll('#cells thead th')].slice(2).map(e => e.textContent)")
    lines = page.js("return [...document.querySelectorAll('#cells tbody tr')].map(r => [...r.cells].map(c => c.textContent))")
    routed = [h for (c, b, h), r in page.rows.items() if c == 0 and b == page.block_names()[-2] and r["kind"] == "routed"]
    check("the table has all heads by name", heads == [f"r{i + 1}" for i in range(len(routed))], heads)
    check("the table has all classes", sorted(line[0] for line in lines) == sorted(page.shown), lines[:2])
    for name, n, *values in lines:
        c = page.names.index(name)
        for h, value in zip(routed, values):
            row = page.rows[c, page.block_names()[-2], h]
            check("the table shows what is counted", n == row["images"] and near(value, row["load"], 4),
                  f"{name} {h} {value} {row}")


def check_accessible(page):
    for e in page.all("button, select, input, [role=listbox], [role=application], [role=region], svg[role=img]"):
        check("every control has a name", e.accessible_name.strip(), e.get_attribute("outerHTML")[:100])
    check("the language is known", page.js("return document.documentElement.lang") == "en")
    check("one heading of the first level", len(page.all("h1")) == 1)


def check_widths(page, opened="details"):
    """Nothing is wider than the window, with details open; what may be, scrolls for itself."""
    page.js("for (const d of document.querySelectorAll(arguments[0])) d.open = true", opened)
    for width in (320, 390, 768, 1280, 1920):
        page.emulate(width)
        wide = page.js("""
            const width = document.documentElement.clientWidth;
            const wide = [...document.querySelectorAll('body *')].filter(e => !e.parentElement.closest('.scroll, .unseen, #heatmap, svg')
              && !e.matches('.skip') && e.getBoundingClientRect().right > width + 0.5);
            return [document.documentElement.scrollWidth - width, wide.map(e => e.outerHTML.slice(0, 80))]""")
        check(f"nothing overflows at {width} pixels", wide == [0, []], wide)
        check_scrolling(page, width)
        if width == 1920:
            used = page.js("return document.querySelector('main').getBoundingClientRect().width") / width
            check("a wide window is used", used > 0.9, used)
    page.emulate(None)


def check_scrolling(page, width):
    """What has more to show says so, at the edge that hides it, and until it is there."""
    boxes = page.js("""
        const settled = () => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
        const see = (e) => [e.scrollWidth > e.clientWidth + 1, e.scrollHeight > e.clientHeight + 1, getComputedStyle(e, '::before').display !== 'none'
            && getComputedStyle(e, '::before').content, e.dataset.more, getComputedStyle(e).boxShadow !== 'none'];
        return (async () => {
            await settled();
            const all = [...document.querySelectorAll('.scroll')].filter(e => e.getClientRects().length), seen = all.map(see);
            for (const e of all) e.scrollLeft = e.scrollWidth;
            await settled();
            const then = all.map(see);
            for (const e of all) e.scrollLeft = 0;
            await settled();
            return seen.map((s, i) => [...s, ...then[i].slice(3)]);
        })()""")
    check("there are tables", boxes or not page.all("table"))
    for wide, tall, said, more, shadow, more_then, shadow_then in boxes:
        check(f"at {width} pixels a table that scrolls says so", bool(said) == (wide or tall) and (not said or ("columns" in said) == wide
              and ("rows" in said) == tall), [wide, tall, said])
        check(f"at {width} pixels the edge that hides columns has a shadow", [more, shadow, more_then, shadow_then] ==
              (["right", True, "left", True] if wide else ["", False, "", False]), [wide, more, shadow, more_then, shadow_then])
    if width == 390 and page.all("#stats"):
        check("on a telephone some scroll", any(wide for wide, *_ in boxes), boxes)


def check_paper(page):
    """On paper: whole, and light even where the screen is dark."""
    if page.js("return document.documentElement.dataset.theme") != "dark":
        page.click("#theme")
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    page.emulate(700)  # of A4 within its margins
    page.js("dispatchEvent(new Event('beforeprint'))")
    check("paper is light", page.js("return getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)")
    dark = page.js("""
        const light = c => { const n = (c.match(/[0-9.]+/g) || []).map(Number); return n[3] === 0 || n[0] + n[1] + n[2] > 690; };
        return [...document.querySelectorAll('body *')].filter(e => e.offsetParent && !light(getComputedStyle(e).backgroundColor))
          .map(e => e.outerHTML.slice(0, 80))""")
    check("nothing on it is on dark ground", not dark, dark)
    texts = page.js("return [...document.querySelectorAll('#paper text')].map(t => t.textContent)")
    short = [n.split(",")[0] if n.find(",") > 0 else n for n in page.shown]
    check("every class has its row", all(any(t == n or t.endswith("…") and n.startswith(t[:-1]) for t in texts) for n in short),
          [n for n in short if n not in texts][:5])
    cells = page.js("return [...document.querySelectorAll('#paper svg > g rect')].map(r => r.getAttribute('fill'))")
    block = page.js("return document.documentElement.dataset.block")
    routed = sum(k[1] == block and r["kind"] == "routed" and r["images"] != "0" for k, r in page.rows.items())
    check("every cell is on paper", len(cells) == routed, f"{len(cells)} {routed}")
    check("its shades are the light ones", "rgb(24,36,52)" not in cells and "rgb(222,235,247)" in cells + [
        r for r in page.js("return [...document.querySelectorAll('#paper rect')].map(r => r.getAttribute('fill'))")])
    cut = page.js("""
        const cut = [...document.querySelectorAll('body *')].filter(e => e.offsetParent && getComputedStyle(e).overflow !== 'visible'
          && (e.scrollHeight > e.clientHeight + 1 || e.scrollWidth > e.clientWidth + 1) && !e.matches('.unseen'));
        const wide = [...document.querySelectorAll('body *')].filter(e => e.offsetParent && e.getBoundingClientRect().right > innerWidth + 1);
        return [...cut, ...wide].map(e => e.outerHTML.slice(0, 80))""")
    check("nothing on paper is cut off", not cut, cut)
    scrolls = page.js("""return [...document.querySelectorAll('.scroll')].filter(e => e.getClientRects().length).map(e => [getComputedStyle(e).overflow,
        getComputedStyle(e).maxHeight, getComputedStyle(e).boxShadow, getComputedStyle(e, '::before').display])""")
    check("nothing on paper scrolls, or says so", scrolls and all(s == ["visible", "none", "none", "none"] for s in scrolls), scrolls)
    hidden = page.js("return [...document.querySelectorAll('button, select, input, canvas')].filter(e => e.offsetParent && !e.matches('#stats button')).length")
    check("no control is on paper", hidden == 0, hidden)
    for what in ("#summary", "#panels svg", "#stats", "#details", "#terms dd"):
        check("what matters is on paper", page.js("return document.querySelector(arguments[0]).getClientRects().length", what), what)
    page.js("dispatchEvent(new Event('afterprint'))")
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    page.emulate(None)
    check("the screen is dark again", page.js("return document.documentElement.dataset.theme") == "dark")
    page.click("#theme")
    # The browser's own way there, which says when it begins.
    page.js("window.printed = 0; addEventListener('beforeprint', () => { printed = document.querySelectorAll('#paper svg').length; })")
    page.driver.execute_cdp_cmd("Page.printToPDF", {})
    check("printing puts the heatmap on paper", page.js("return printed") > 0)


def saved(page, folder, button):
    """What a button saves."""
    for name in os.listdir(folder):
        os.unlink(os.path.join(folder, name))
    page.click(button)
    wait(lambda: [n for n in os.listdir(folder) if not n.endswith(".crdownload")])
    (name,) = [n for n in os.listdir(folder) if not n.endswith(".crdownload")]
    check("what was saved is said", page.find("#saved").get_attribute("textContent") == f"Saved {name}", name)
    with open(os.path.join(folder, name), "rb") as f:
        return name, f.read()


def check_pictures(page, folder):
    """SVG and PNG of what is shown: they stand alone, and say what the program does."""
    os.makedirs(folder)
    page.driver.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": folder})
    block = page.block_names()[-1]
    page.select_block(block)
    Select(page.find("#measure")).select_by_value("gate")
    stem = page.js("return document.querySelector('#subtitle').textContent").rsplit(".", 1)[0]
    for what in ("heatmap", "bars"):
        name, content = saved(page, folder, f"#{what}-svg")
        check("a file's name says what it is of", name.endswith(f"-{block}-gate-{what}.svg") and name.isprintable()
              and name.startswith(stem[:5]) and "<" not in name, name)
        text = content.decode()
        svg = ElementTree.fromstring(text)
        tag = "{http://www.w3.org/2000/svg}"
        check("it has a title and a description", svg[0].tag == tag + "title" and f"Block {block}" in svg[0].text and
              svg[1].tag == tag + "desc" and len(svg[1].text) > 40, text[:400])
        check("it stands alone", not any(w in text for w in ("var(", "<style", "href", "url(", "@import")) and
              "Liberation Sans" in svg.get("font-family"), text[:400])
        if what == "heatmap":
            rects = list(svg.find(tag + "g").iter(tag + "rect"))
            rows = page.js("return [...document.querySelectorAll('#cells tbody th')].map(e => e.textContent)")
            heads = [h for (c, b, h), r in page.rows.items() if c == 0 and b == block and r["kind"] == "routed"]
            check("it has all cells", len(rects) == len(rows) * len(heads), len(rects))
            cells = {(page.names.index(rows[i // len(heads)]), heads[i % len(heads)]): r.get("fill") for i, r in enumerate(rects)}
            values = sorted((float(page.rows[c, block, h]["gate"]), -sum(map(int, fill[4:-1].split(","))))
                            for (c, h), fill in cells.items() if fill.startswith("rgb"))
            check("more is darker", [v[1] for v in values] == sorted(v[1] for v in values), values[:9])
        else:
            bars = [(g, list(g.iter(tag + "rect"))) for g in svg.findall(tag + "g")]
            chosen = page.js("return [...document.querySelectorAll('.panel')].map(p => Number(p.dataset.class))")
            check("it has a panel for each class", len(bars) == len(chosen), len(bars))
            for c, (_, rects) in zip(chosen, bars):
                for r in rects:
                    row = page.rows[c, block, int(r.get("data-head"))]
                    check("its bars are the gates", near(r[0].text.split(": ")[1].split(",")[0], row["gate"] or 0, 4), r[0].text)
        name, png = saved(page, folder, f"#{what}-png")
        check("a PNG has its name", name.endswith(f"-{block}-gate-{what}.png"), name)
        picture = Image.open(io.BytesIO(png)).convert("RGB")
        width, height = (float(svg.get(k)) for k in ("width", "height"))
        check("it is as large as its SVG, twice as fine", picture.size == (round(2 * width), round(2 * height)), picture.size)
        if what == "heatmap":
            y0 = float(svg.find(tag + "g").get("transform").split(" ")[1][:-1])
            for r in rects[:: max(1, len(rects) // 20)]:
                x, y, w, h = (float(r.get(k)) for k in ("x", "y", "width", "height"))
                got = picture.getpixel((round(2 * (x + w / 2)), round(2 * (y0 + y + h / 2))))
                fill = r.get("fill")
                want = tuple(int(v) for v in fill[4:-1].split(",")) if fill[0] == "r" else tuple(bytes.fromhex(fill[1:]))
                check("its cells have the SVG's colours", max(abs(a - b) for a, b in zip(got, want)) <= 2, f"{got} {want}")
    Select(page.find("#measure")).select_by_value("load")


def check_theme(page):
    def background():
        return page.js("return getComputedStyle(document.body).backgroundColor")
    for scheme, colour in (("dark", "rgb(16, 20, 24)"), ("light", "rgb(255, 255, 255)")):
        page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia",
                                    {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
        page.js("return document.body.offsetWidth")
        time.sleep(0.1)
        check(f"follows the system: {scheme}", background() == colour, background())
    page.click("#theme")
    check("the button changes it", background() == "rgb(16, 20, 24)", background())
    page.click("#theme")


def check_quiet(page):
    log = page.driver.get_log("browser")
    check("no console message", not log, log)
    check("no request", page.js("return performance.getEntriesByType('resource').length") == 0)


def check_hostile(page, labels):
    shown = page.js("return [...document.querySelectorAll('#list li')].map(e => e.firstChild.textContent)")
    check("names are shown as text", shown == labels, shown)
    check("nothing broke out", page.driver.title.startswith("Head load: ") and not page.all("img"), page.driver.title)
    scripts = page.js("return document.querySelectorAll('script').length")
    check("as many scripts as were written", scripts == 3 + len(page.block_names()), scripts)


def check_left_out(page):
    """Classes without pictures are counted, and are in the CSV alone."""
    (left_out,) = set(page.names) - set(page.shown)
    check("a class without pictures is left out", left_out == EMPTY and len(page.all("#list li")) == len(page.shown))
    summary = page.js("return [...document.querySelectorAll('#summary div')].map(e => e.textContent)")
    check("it is counted", f"Classes{len(page.shown)}; 1 without images is left out" in summary, summary)
    box = page.find("#heatmap")
    box.send_keys(Keys.CONTROL, Keys.END)
    last = page.readout()
    box.send_keys(Keys.ARROW_DOWN)
    check("no row is below the last one that is shown", page.readout() == last and "n = " in last, last)
    for order in ("number", "name", "similarity"):
        Select(page.find("#order")).select_by_value(order)
        rows = page.js("return [...document.querySelectorAll('#cells tbody th')].map(e => e.textContent)")
        check("it has no row in any order", sorted(rows) == sorted(page.shown), rows)
    page.find("#search").send_keys(EMPTY)
    check("no search finds it", not page.all("#list li"))
    page.find("#search").clear()
    page.find("#search").send_keys(" ", Keys.BACKSPACE)
    check("the CSV has it", f",{EMPTY}," in page.csv_text)  # which is the page's, too: check_csv


def check_importance(driver, folder, labels):
    """What heads cost, beside load and gate: the numbers of the file, and a panel."""
    rng = random.Random(3)
    page = Page(driver, folder, "ablated", "nano", labels)
    rows = []
    for b in page.stats["blocks"]:
        for h in range(b["heads"] - (b["stage"] == 3)):  # the last head of these blocks is not known
            change = rng.uniform(-0.02, 0.05) if h != 2 else -0.00002
            kind, number = ("shared", h + 1) if h < b["shared"] else ("routed", h + 1 - b["shared"])
            rows.append({"heads": f"{b['stage']}.{b['block']}:{kind[0]}{number}", "stage": b["stage"], "block": b["block"], "head": h, "kind": kind,
                         "loss_change": change, "loss_low": change - 0.01, "loss_high": change + 0.02, "loss_p": 0.001,
                         "loss_p_holm": 0.04 if h % 2 else 0.2, "top1_change": -1, "top1_low": -2.5, "top1_high": 0.5,
                         "top1_p": 0.5, "top1_p_holm": None})
    path = os.path.join(folder, "ablated.json")
    with open(path, "w", encoding="utf-8") as f:
        json.dump({"images": 1234, "failed": 0, "complete": True, "renormalise": False, "ablated": rows, "data": {},
                   "provenance": page.stats["provenance"]}, f)
    load, html = (os.path.join(folder, "ablated" + e) for e in (".safetensors", ".html"))
    run(mohvit, "headload", "report", load, "--importance", path, "-o", html)
    driver.get("file://" + html)
    wait(lambda: page.js("return document.documentElement.dataset.ready"))
    for b in (page.stats["blocks"][-1], page.stats["blocks"][2]):
        name = f"{b['stage']}.{b['block']}"
        page.select_block(name)
        known = {r["head"]: r for r in rows if (r["stage"], r["block"]) == (b["stage"], b["block"])}
        lines = page.js("""const table = [...document.querySelectorAll('#details table')].find(t => t.caption.textContent.startsWith('All heads'));
            return [...table.tBodies[0].rows].map(r => [...r.cells].map(c => c.textContent.replaceAll('−', '-')))""")
        check("importance: a line for each head", len(lines) == b["heads"], lines)
        for h, (_, _, _, _, loss, interval, p, top1, top1_interval) in enumerate(lines):
            r = known.get(h)
            check("importance: beside load and gate", r is None and loss == interval == p == top1 == "–" or r is not None and
                  near(loss, r["loss_change"], 4) and near(interval.split(" to ")[0], r["loss_low"], 4) and
                  near(interval.split(" to ")[1], r["loss_high"], 4) and p == ("0.040 *" if h % 2 else "0.20") and
                  top1 == "-1.00 %" and top1_interval == "-2.50 to +0.50 %", f"{lines[h]} {r}")
        check("importance: what is 0 has no sign", lines[2][4] == "+0.0000" and "-0.0000" not in str(lines), lines)
        bars = page.js("""return [...document.querySelectorAll('.without rect')].map(r =>
            ['y', 'height'].map(k => Number(r.getAttribute(k))).concat([Number(r.dataset.head), r.textContent.replaceAll('−', '-')]))""")
        routed = [h for h in known if h >= b["shared"]]
        check("importance: a bar for each known head", [bar[2] for bar in bars] == routed, bars)
        cost = {h: known[h]["loss_change"] for h in routed}
        zero = [y + height if cost[h] > 0 else y for y, height, h, _ in bars]
        check("importance: bars stand on zero, or hang from it", max(zero) - min(zero) < 1e-6, zero)
        scale = [height / abs(cost[h]) for _, height, h, _ in bars]
        check("importance: they are as high as what they cost", max(scale) / min(scale) < 1 + 1e-6, scale)
        check("importance: a bar says so", all(near(t.split(": ")[1].split(",")[0], cost[h], 4) for _, _, h, t in bars), bars)
    check("importance: of how many images", "n = 1 234" in page.find(".without").text, page.find(".without").text)
    data = page.js("return {...document.querySelector('#readout').dataset}")
    text = page.readout().replace("−", "-")
    cost = known[int(data["head"])]["loss_change"]
    check("importance: the readout has it", near(text.split("without it ")[1].split(",")[0], cost, 4), text)
    check_axe(page.driver, page.theme)
    check_widths(page)
    check_quiet(page)


def pixels_of(uri):
    header, content = uri.split(",")
    check("thumbnails are JPEG", header == "data:image/jpeg;base64", header)
    return Image.open(io.BytesIO(base64.b64decode(content))).convert("RGB")


def check_thumbnails(driver, folder):
    """The pictures that use each head most, read again from files, a tar and MNIST's format, on a page that the report links."""
    samples = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../tools/samples")
    place = os.path.join(folder, "pictures & more\\")
    os.makedirs(place)
    names = sorted(n for n in os.listdir(samples) if n.endswith(".png"))
    pictures = {}
    with open(os.path.join(place, "list"), "w", encoding="utf-8") as f, tarfile.open(os.path.join(place, "a#b.tar"), "w") as tar:
        for i, name in enumerate(names):
            path = os.path.join(samples, name)
            with Image.open(path) as picture:
                pixels = picture.convert("RGB")
            if i % 3 == 0:
                f.write(path + "\n")
                pictures[path] = pixels
            elif i % 3 == 1:
                tar.add(path, "x/" + name)
                pictures[os.path.join(place, "a#b.tar/x/" + name)] = pixels
    rng = np.random.default_rng(5)
    noise = np.kron(rng.integers(0, 256, (4, 7, 7)), np.ones((4, 4), int)).astype(np.uint8)
    idx = os.path.join(place, "idx3")
    with open(idx, "wb") as f:
        f.write(struct.pack(">4i", 0x803, 4, 28, 28) + noise.tobytes())
    pictures.update({f"{idx}#{i}": Image.fromarray(noise[i]).convert("RGB") for i in range(4)})
    load, heads, html = (os.path.join(place, n) for n in ("load", "heads", "page 1#.html"))
    run(mohvit, "headload", "count", os.path.join(place, "list"), os.path.join(place, "a#b.tar"), "idx:" + idx,
        "--by-prediction", "--quiet", "--drop-heads", "4.0:r3", "-o", load, "--per-image", heads)
    run(mohvit, "headload", "report", load, "--thumbnails", heads, "--pictures", "2", "-o", html)
    top = json.loads(run(mohvit, "headload", "top", heads, "--pictures", "2", "--format", "json"))["rows"]
    driver.get("file://" + urllib.parse.quote(html))
    wait(lambda: driver.execute_script("return document.documentElement.dataset.ready"))
    summary = driver.execute_script("return document.getElementById('summary').textContent")
    check("the heads that were dropped are named", "Counted without4.0:r3" in summary, summary)
    title = driver.execute_script("return document.getElementById('subtitle').textContent")
    check("the title says so", title == "load, counted without 4.0:r3, whose gates are 0", title)
    link = next(e for e in driver.find_elements(By.CSS_SELECTOR, "#details a") if e.text == "r3")
    driver.execute_script("arguments[0].click()", link)
    wait(lambda: driver.title == "Pictures that use each head most")
    check("a head's link leads to it", driver.execute_script("return document.querySelector(':target h3').textContent") == "r3")
    shown = driver.execute_script("""return [...document.querySelectorAll('section section')].flatMap(s => [...s.querySelectorAll('li')].map((li, i) =>
        [s.id, i + 1, li.querySelector('img').alt, li.querySelector('img').naturalWidth, li.textContent, li.querySelector('img').src]))""")
    check("as many pictures as `headload top` names", len(shown) == len(top), f"{len(shown)} {len(top)}")
    for (place_of, rank, alt, width, text, uri), row in zip(shown, top):
        block = f"{row['stage']}.{row['block']}"
        head = row["head"] + 1 - next(b["shared"] for b in blocks_of(load) if (b["stage"], b["block"]) == (row["stage"], row["block"]))
        check("thumbnails: the pictures of `headload top`", (place_of, rank, alt) == (f"{block}-r{head}", row["rank"], row["path"]),
              f"{place_of} {rank} {alt} {row}")
        check("thumbnails: load and class", text == f"{row['load']:.3f}{row['label'].split(',')[0]}", f"{text} {row}")
        small = pixels_of(uri)
        whole = pictures[alt.replace("\\\\", "\\")].resize((72, 72), Image.BICUBIC)
        far = np.abs(np.asarray(small, int) - np.asarray(whole, int)).mean()
        check("thumbnails: they are small", small.size == (72, 72) and width == 72, small.size)
        check("thumbnails: they show the picture", far < 6, f"{alt} {far}")
    page = Page.__new__(Page)
    page.driver = driver
    check_widths(page)
    check_quiet(page)
    driver.find_element(By.CSS_SELECTOR, "p a").click()
    wait(lambda: driver.title.startswith("Head load"))


def blocks_of(load):
    return json.loads(run(mohvit, "headload", "stats", "--format", "json", load))["blocks"]


def seconds_to_show(page, name):
    """Of several, the fastest is the page's own."""
    before = page.busy()
    page.select_block(name)
    return page.busy() - before


def main():
    rng = random.Random(7)
    with tempfile.TemporaryDirectory() as folder:
        hostile = os.path.join(folder, "labels.txt")
        with open(hostile, "w", encoding="utf-8") as f:
            f.write("\n".join([*HOSTILE, EMPTY]) + "\n")
        driver = browser(f"user-data-dir={folder}/profile", "window-size=1200,900", logs=("browser",))
        driver.set_script_timeout(300)
        try:
            page = Page(driver, folder, "small <b>&amp;", "nano", hostile, rough=True)
            check("the file's name is text", page.find("#subtitle").text == "small <b>&amp;.safetensors")
            check_hostile(page, HOSTILE)
            check_search(page, "crane", 2)
            check_block_selector(page)
            check_heatmap(page, rng)
            check_panels(page, rng)
            check_statistics(page)
            check_accessible(page)
            check_theme(page)
            check_intervals(page)
            check_keys(page)
            check_table_of_cells(page)
            check_left_out(page)
            check_pictures(page, os.path.join(folder, "saved"))
            check_widths(page)
            check_paper(page)
            check_axe(page.driver, page.theme)
            check_csv(page, whole=True)
            check_quiet(page)

            check_importance(driver, folder, hostile)
            check_thumbnails(driver, folder)

            page = Page(driver, folder, "base", "moh_transnext_base_50", imagenet, rough=True)
            print(f"1,000 classes x {len(page.block_names())} blocks: {page.size / 1e6:.1f} MB, ready after "
                  f"{page.seconds:.2f} s of the processor")
            check("opens within two seconds", page.seconds < 2, f"{page.seconds} s")
            check("below 10 MB", page.size < 10e6, page.size)
            check_search(page, "crane", 2)
            check_block_selector(page)
            check_heatmap(page, rng)
            check_panels(page, rng)
            check_statistics(page)
            check_widths(page, "details:not(#cells)")  # a table of 27,000 cells
            check_csv(page, whole=False)
            fastest = min(seconds_to_show(page, name) for name in ("2.0", "1.0", "3.0", "3.1", "4.0"))
            check("another block within half a second", fastest < 0.5, fastest)
            check_quiet(page)
        finally:
            driver.quit()
    print(f"{len(failures)} failures" if failures else "the report shows what the program prints")
    return 1 if failures else 0


sys.exit(main())
