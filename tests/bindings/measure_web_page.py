#!/usr/bin/python3
"""Times the page from a dropped picture to its answer: measure_web_page.py PAGE [DROPS]

Drops pictures of 512 px and of 12 Mpx into the page in headless Chromium, DROPS times each (default 15), after two that are
not counted. Prints the medians of the milliseconds until the picture was decoded, the model had answered, the answer stood
in the page, and the frame with it was drawn. What is not the answer follows after that. Let nothing else run meanwhile."""

import os
import statistics
import sys
import tempfile

from web_page import Page, browser, picture, read

SIZES = [(512, 512), (4000, 3000)]
STEPS = {"decoded": "decoded", "answered": "answered", "ms": "in the page", "drawn": "drawn"}


def measure(page, folder, sizes, drops, unmeasured=0):
    for width, height in sizes:
        name = f"{width}x{height}.png"
        content, times = read(picture(folder, name, (width, height), (200, 190, 180))), {step: [] for step in STEPS}
        for drop in range(unmeasured + drops):
            page.drop((name, content))
            assert page.text(".answer h3").startswith(name), page.problem()
            for step, values in times.items():
                if drop >= unmeasured:
                    values.append(float(page.data(step)))
        medians = ", ".join(f"{STEPS[step]} {statistics.median(values):.1f}" for step, values in times.items())
        print(f"{width} × {height}, ms from the drop: {medians} (the slowest {max(times['drawn']):.1f})", flush=True)


def processor():
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        return next((line.split(":")[1].strip() for line in f if line.startswith("model name")), "unknown processor")


def main():
    file, drops = os.path.abspath(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 15
    driver = browser()
    try:
        print(f"{processor()}, Chromium {driver.capabilities['browserVersion'].split('.')[0]}, {os.path.getsize(file) / 1e6:.1f} MB of page")
        with tempfile.TemporaryDirectory() as folder:
            page = Page(driver, file)
            page.emulate(1280)
            measure(page, folder, SIZES, drops, unmeasured=2)
    finally:
        driver.quit()


if __name__ == "__main__":
    main()
