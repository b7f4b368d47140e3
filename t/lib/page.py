"""A browser that shows the status page: headless Chromium, by WebDriver over HTTP.

    async with Browser() as browser:
        page = await browser.open_status("http://127.0.0.1:8081/status", PHONE, dark=True)
        equal(await page.text("#health"), "ok")

The browser has its own folder and connects only to the page's server. `page.complaints()` returns
the messages of the page's console. StatusServer is a server for the page alone, for tests that
choose the data of the page.
"""

import asyncio
import base64
import contextlib
import hashlib
import http.server
import json
import re
import shutil
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

from tap import PATIENCE, equal, until

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "src/metrics/status.html"
SCREENSHOTS = ROOT / "target"

PHONE = (360, 800)
DESKTOP = (1400, 900)

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--disable-dev-shm-usage", "--hide-scrollbars"]


class Browser:
    """A Chromium that runs within the context."""

    async def __aenter__(self):
        self.folder = tempfile.mkdtemp(prefix="status-page-test-")
        self.log = Path(self.folder, "chromedriver.log")
        try:
            self._start()
        except FileNotFoundError:
            shutil.rmtree(self.folder)
            raise RuntimeError('no chromedriver: run "scripts/install-deps test"') from None
        self.session = None
        try:
            port = await until(self._port, 30, "chromedriver did not start")
            self.url = f"http://127.0.0.1:{port}/session"
            answer = await asyncio.to_thread(self._ask, "POST", self.url, {"capabilities": {
                "alwaysMatch": {
                    "goog:loggingPrefs": {"browser": "ALL"},
                    "goog:chromeOptions": {
                        "args": [*FLAGS, f"--user-data-dir={self.folder}/profile"]}}}})
            self.session = f"{self.url}/{answer['sessionId']}"
        except BaseException:
            await self.__aexit__(None)
            raise
        return self

    async def __aexit__(self, *_):
        try:
            if self.session:
                await asyncio.to_thread(self._ask, "DELETE", self.session)
        finally:
            self.driver.terminate()
            self.driver.wait()
            shutil.rmtree(self.folder, ignore_errors=True)

    def _start(self):
        self.driver = subprocess.Popen(
            ["chromedriver", "--port=0"], stdin=subprocess.DEVNULL,
            stdout=self.log.open("w"), stderr=subprocess.STDOUT)

    def _port(self):
        # it exits where the port that it has chosen for IPv4 is in use for IPv6
        if self.driver.poll() is not None:
            self._start()
        found = re.search(r"started successfully on port (\d+)", self.log.read_text())
        return found and found[1]

    @staticmethod
    def _ask(method, url, body=None):
        """The result of a WebDriver command."""
        data = json.dumps(body or {}).encode() if method == "POST" else None
        request = urllib.request.Request(url, data, {"Content-Type": "application/json"},
                                         method=method)
        try:
            with urllib.request.urlopen(request, timeout=60 * PATIENCE) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(json.load(error)["value"]["message"]) from None

    async def command(self, path, **body):
        """Sends a command to the browser."""
        return await asyncio.to_thread(self._ask, "POST", f"{self.session}/{path}", body)

    async def devtools(self, command, **parameters):
        """Sends a command of the DevTools protocol."""
        return await self.command("goog/cdp/execute", cmd=command, params=parameters)

    async def open_status(self, url, size=DESKTOP, dark=False):
        """The status page of an instance, once it shows the first snapshot."""
        await self.command("url", url="about:blank")
        await self.command("se/log", type="browser")
        # windows have a minimum width, this setting has none
        await self.devtools("Emulation.setDeviceMetricsOverride", width=size[0], height=size[1],
                            deviceScaleFactor=1, mobile=size == PHONE)
        await self.devtools("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])
        await self.command("url", url=url)
        page = Page(self)
        await page.comes_true("document.body.className !== 'waiting'")
        return page


class Page:
    """The page in the browser."""

    def __init__(self, browser):
        self.browser = browser

    async def run(self, script, *arguments):
        """The result of a JavaScript function body; the page's CSP does not apply to it."""
        return await self.browser.command("execute/sync", script=script, args=list(arguments))

    async def value(self, expression):
        """The value of a JavaScript expression."""
        return await self.run(f"return {expression}")

    async def comes_true(self, expression, timeout=15):
        """Waits until a JavaScript expression is true."""
        for _ in range(int(timeout * PATIENCE / 0.1)):
            if await self.value(expression):
                return
            await asyncio.sleep(0.1)
        raise AssertionError(f"it never came true: {expression}\n{await self.text('header')} {await self.text('main')}")

    async def text(self, selector):
        """The text of an element, as in the source."""
        return (await self.run("return document.querySelector(arguments[0]).textContent",
                               selector)).strip()

    async def complaints(self):
        """The console messages since the last call."""
        return [f"{entry['level']}: {entry['message']}"
                for entry in await self.browser.command("se/log", type="browser")]

    async def overflow(self):
        """Elements that overflow the page on the right."""
        return await self.run("""
            const width = document.documentElement.clientWidth;
            const wide = [...document.querySelectorAll('body *:not(.unseen)')]
                .filter(one => one.getBoundingClientRect().right > width + 0.5)
                .map(one => `${one.tagName} ${one.id} ${one.textContent.slice(0, 40)}`);
            return document.documentElement.scrollWidth > width ? ['the page', ...wide] : wide;""")

    async def contrasts(self, least=4.5):
        """Texts with less contrast to their background than `least`, computed as in WCAG 2."""
        return await self.run(CONTRASTS, least)

    async def is_fine(self):
        """Fails if the console has messages, an element overflows or a text has too little
        contrast."""
        await self.comes_true("document.getAnimations().length === 0")
        equal(await self.complaints(), [], "complaints in the console")
        equal(await self.overflow(), [], "what sticks out")
        equal(await self.contrasts(), [], "texts of little contrast")

    async def screenshot(self, name):
        """Saves a picture of the whole page as target/status-page-NAME.png."""
        size = (await self.browser.devtools("Page.getLayoutMetrics"))["cssContentSize"]
        shot = await self.browser.devtools(
            "Page.captureScreenshot", format="png", captureBeyondViewport=True,
            clip={"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1})
        SCREENSHOTS.mkdir(exist_ok=True)
        (SCREENSHOTS / f"status-page-{name}.png").write_bytes(base64.b64decode(shot["data"]))


CONTRASTS = """
    const least = arguments[0];
    const parse = color => (color.match(/[\\d.]+/g) || []).map(Number);
    const light = ([r, g, b]) => {
        const [x, y, z] = [r, g, b].map(v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        return 0.2126 * x + 0.7152 * y + 0.0722 * z;
    };
    const behind = element => {
        for (; element; element = element.parentElement) {
            const color = parse(getComputedStyle(element).backgroundColor);
            if (color.length === 3) return color;
        }
        return [255, 255, 255];
    };
    const poor = [];
    for (const element of document.querySelectorAll('body *:not(script, noscript, .unseen)')) {
        if (![...element.childNodes].some(node => node.nodeType === 3 && node.data.trim())) continue;
        const [a, b] = [light(parse(getComputedStyle(element).color)), light(behind(element))];
        const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        if (ratio < least) poor.push(`${element.textContent.trim().slice(0, 40)}: ${ratio.toFixed(2)}`);
    }
    return poor;
"""


def content_security_policy(page):
    """The page's CSP header: its one style, its one script, and its own origin."""
    def digest(tag):
        (inside,) = re.findall(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        return "sha256-" + base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
    return (f"default-src 'none'; style-src '{digest('style')}'; script-src '{digest('script')}'; "
            "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")


class StatusServer:
    """A server for the page alone; it returns `told`, as JSON. If that is None it closes the
    connections; `delay` delays its responses, and `asked` lists the requests."""

    def __init__(self, told):
        self.told = told
        self.status = 200
        self.delay = 0
        self.asked = []

    async def __aenter__(self):
        page = PAGE.read_text()
        policy = content_security_policy(page)
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            """Responds as the module does."""
            def do_GET(self):
                """The page, or the requested data."""
                if self.path != "/status":
                    outer.asked.append(self.path)
                    self.send_error(404)
                elif self.headers["Accept"] == "application/json":
                    outer.asked.append("JSON")
                    time.sleep(outer.delay)
                    if outer.told is not None:
                        self.answer("application/json", json.dumps(outer.told), outer.status)
                else:
                    outer.asked.append("page")
                    self.answer("text/html; charset=utf-8", page)

            def answer(self, kind, body, status=200):
                """Sends a response."""
                body = body.encode()
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Content-Security-Policy", policy)
                self.end_headers()
                with contextlib.suppress(ConnectionError):
                    self.wfile.write(body)

            def log_message(self, *_):
                """Logs nothing."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/status"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    async def __aexit__(self, *_):
        await asyncio.to_thread(self.server.shutdown)
        self.server.server_close()
