"""A browser for tests of pages: a Chromium without a window, told what to do over two pipes by Chromium's own protocol."""

import base64
import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
    "--hide-scrollbars", "--remote-debugging-pipe", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
)  # fmt: skip


class Browser:
    """One page of a Chromium: opened, asked, moved over, photographed."""

    def __init__(self, program: str, profile: Path) -> None:
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()

        def placed() -> None:  # the protocol's pipes are the third and the fourth file of its process
            kept = os.dup(theirs_in), os.dup(theirs_out)
            os.dup2(kept[0], 3)
            os.dup2(kept[1], 4)

        self._process = subprocess.Popen(
            [program, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            preexec_fn=placed,
            close_fds=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._number, self._held, self._session = 0, b"", ""
        self.errors: list[str] = []
        self.requests: list[str] = []
        target = self("Target.createTarget", url="about:blank")["targetId"]
        self._session = self("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self(f"{domain}.enable")

    def __call__(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the protocol, and its answer."""
        self._number += 1
        own = {"sessionId": self._session} if self._session else {}
        text = json.dumps({"id": self._number, "method": method, "params": parameters} | own)
        os.write(self._out, text.encode() + b"\0")
        while True:
            told = self._read()
            if told.get("id") == self._number:
                assert "error" not in told, f"{method}: {told}"
                result: dict[str, Any] = told["result"]
                return result
            self._noted(told)

    def open(self, path: Path, after: str = "", width: int = 1400, height: int = 1000, scheme: str = "light") -> None:
        """A page from the disk, once it has loaded. after: what stands behind its name, such as #2d."""
        self.errors, self.requests = [], []
        self("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.scheme(scheme)
        self("Page.navigate", url="about:blank")
        self("Page.navigate", url=f"file://{path}{after}")
        self.ask(
            "new Promise((done) => document.readyState === 'complete' ? done() : addEventListener('load', () => done()))"
        )
        self.settle()

    def scheme(self, name: str) -> None:
        """Light or dark, as the page is told that its reader wishes."""
        self("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}])

    def settle(self) -> None:
        """Two frames later, when what was asked for has been drawn."""
        self.ask("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done())))")

    def ask(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page, of a promise when it is kept."""
        told = self("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    def mouse(self, kind: str, x: float, y: float, modifiers: int = 0, **more: Any) -> None:
        """mousePressed, mouseMoved, mouseReleased or mouseWheel, in pixels of the window; modifiers: 1 Alt, 8 Shift."""
        self("Input.dispatchMouseEvent", type=kind, x=x, y=y, modifiers=modifiers, button=more.pop("button", "left"),
             clickCount=1, **more)  # fmt: skip

    def click(self, x: float, y: float, modifiers: int = 0) -> None:
        self.mouse("mouseMoved", x, y, modifiers, button="none")
        self.mouse("mousePressed", x, y, modifiers)
        self.mouse("mouseReleased", x, y, modifiers)
        self.settle()

    def photograph(self, whole: bool = False) -> bytes:
        """What is seen, as a PNG."""
        shot = self("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        return base64.b64decode(shot["data"])

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self("Browser.close")
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(10)
        self._process.kill()
        self._process.wait()
        os.close(self._in)
        os.close(self._out)

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._held:
            piece = os.read(self._in, 1 << 20)
            assert piece, "the browser has ended"
            self._held += piece
        text, self._held = self._held.split(b"\0", 1)
        told: dict[str, Any] = json.loads(text)
        return told

    def _noted(self, told: dict[str, Any]) -> None:
        if told.get("method") == "Runtime.exceptionThrown":
            self.errors.append(str(told["params"]["exceptionDetails"]))
        if told.get("method") == "Log.entryAdded" and told["params"]["entry"]["level"] == "error":
            self.errors.append(told["params"]["entry"]["text"])
        if told.get("method") == "Network.requestWillBeSent":
            self.requests.append(told["params"]["request"]["url"])


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A Chromium, where one is installed."""
    program = next((found for name in NAMES if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip(f"no browser is installed (looked for {', '.join(NAMES)}), so no page can be opened here")
    own = Browser(program, tmp_path_factory.mktemp("browser"))
    yield own
    own.close()
