"""The page in one file, in Chromium: what test_web_page.py and measure_web_page.py drive it by."""

import base64
import os
import sys
import time

from PIL import Image, ImageDraw
from selenium.webdriver.common.by import By

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import chromium

DROP = """
    const data = new DataTransfer();
    for (const [name, content] of files)
        data.items.add(new File([Uint8Array.from(atob(content), c => c.charCodeAt(0))], name));
    document.dispatchEvent(new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true }));"""


def browser():
    """With a camera that sees something."""
    return chromium.browser("hide-scrollbars", "use-fake-device-for-media-stream", "use-fake-ui-for-media-stream", "window-size=1280,900",
                            logs=("browser", "performance"))


class Page:
    def __init__(self, driver, file):
        self.driver = driver
        self.address = "file://" + file
        self.open(self.address)

    def open(self, url):
        self.driver.get(url)
        self.wait(lambda: self.data("ready"))
        self.settle()

    def js(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def find(self, selector):
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def text(self, selector):
        return self.js("return document.querySelector(arguments[0]).textContent", selector)

    def texts(self, selector):
        return self.js("return [...document.querySelectorAll(arguments[0])].map(e => e.textContent)", selector)

    def click(self, selector):
        self.js("document.querySelector(arguments[0]).click()", selector)

    def data(self, name):
        return self.js("return document.documentElement.dataset[arguments[0]]", name)

    def wait(self, condition):
        end = time.monotonic() + 300  # a busy machine is no fault of the page
        while not condition():
            if time.monotonic() > end:
                raise RuntimeError(f"the page does not get there; it says: {self.text('#status')} {self.problem()}")
            time.sleep(0.02)

    def settle(self):
        """Until everything that was asked for has been computed."""
        self.wait(lambda: self.data("state") == "ready")

    def problem(self):
        return self.text("#problem-text")

    def answers(self):
        return int(self.data("answers") or 0)

    def drop(self, *files):
        """Names and contents, all at once. Returns when all has been computed."""
        self.driver.execute_async_script("const [files, done] = arguments; document.addEventListener('taken', () => done(), { once: true });"
                                         + DROP, encoded(files))
        self.settle()

    def top(self, view=0):
        """[(label, probability in percent)], as shown."""
        lines = self.js("""return [...document.querySelectorAll(`[data-view="${arguments[0]}"] > .top li`)].map(
            e => [e.querySelector('.name').textContent, parseFloat(e.querySelector('.value').textContent)])""", view)
        return [tuple(line) for line in lines]

    def emulate(self, width):
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride",
                                    {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False})
        self.js("return document.body.offsetWidth")

    def theme(self, name):
        if self.data("theme") != name:
            self.click("#theme")

    def shoot(self, folder, name):
        for theme in ("light", "dark"):
            self.theme(theme)
            for width in (390, 768, 1280):
                self.emulate(width)
                shot = self.driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True})
                with open(os.path.join(folder, f"{name}-{width}-{theme}.png"), "wb") as f:
                    f.write(base64.b64decode(shot["data"]))
        self.theme("light")
        self.emulate(1280)


def encoded(files):
    return [(name, base64.b64encode(content).decode()) for name, content in files]


def read(path):
    with open(path, "rb") as f:
        return f.read()


def picture(folder, name, size, colour):
    """A file with a picture: something like a bag, on black."""
    image = Image.new("RGB", size)
    draw = ImageDraw.Draw(image)
    w, h = size
    draw.rectangle([w * 0.2, h * 0.4, w * 0.8, h * 0.9], fill=colour)
    draw.arc([w * 0.35, h * 0.15, w * 0.65, h * 0.65], 180, 360, fill=colour, width=max(1, w // 20))
    path = os.path.join(folder, name)
    image.save(path)
    return path
