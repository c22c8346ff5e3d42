"""What suites of pages share: Chromium, alone and without a window, what they found wrong, and axe-core's look at a page."""

import os
import time

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

AXE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "figures/node_modules/axe-core/axe.min.js")
failures = []


def check(what, condition, more=""):
    if not condition:
        failures.append(what)
        print(f"FAILED: {what} {more}")


def browser(*flags, logs):
    options = webdriver.ChromeOptions()
    for flag in ("headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking",
                 "disable-component-update", "disable-sync", *flags):
        options.add_argument("--" + flag)
    options.set_capability("goog:loggingPrefs", {log: "ALL" for log in logs})
    driver = webdriver.Chrome(service=Service("/usr/bin/chromedriver"), options=options)
    driver.set_script_timeout(300)
    return driver


def check_axe(driver, set_theme):
    """In light and dark, with everything open. set_theme("dark") makes the page so."""
    if not os.path.exists(AXE):
        return print("axe-core is not here: tools/setup --tests installs it")
    with open(AXE, encoding="utf-8") as f:
        driver.execute_script(f.read())
    driver.execute_script("for (const d of document.querySelectorAll('details')) d.open = true")
    for theme in ("light", "dark"):
        set_theme(theme)
        time.sleep(0.3)  # colours may change smoothly
        found = driver.execute_async_script("axe.run().then(arguments[0])")
        check("axe has looked", len(found["passes"]) > 20, len(found["passes"]))
        check(f"axe finds nothing wrong in {theme} colours", not found["violations"],
              [(v["id"], v["nodes"][0]["html"][:200], v["nodes"][0]["failureSummary"]) for v in found["violations"]])
