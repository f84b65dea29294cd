"""A real browser for tests: Chromium without a window, driven by selenium.

It needs the browser and its driver (Debian: apt-get install chromium chromium-driver), and no network.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from selenium.common.exceptions import WebDriverException
from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

MISSING = "no Chromium with its driver here (Debian and Ubuntu: apt-get install chromium chromium-driver)"
SECONDS = 20.0
Value = TypeVar("Value")


def programs() -> tuple[str, str] | None:
    """The browser and its driver; None without either."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    return (browser, driver) if browser and driver else None


class Browser:
    """One browser; what it saves arrives in `downloads`."""

    def __init__(self, downloads: Path) -> None:
        found = programs()
        if found is None:
            raise FileNotFoundError(MISSING)
        options = ChromeOptions()
        for flag in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
            options.add_argument(flag)
        for flag in (
            "--no-first-run",
            "--enable-unsafe-swiftshader",
            "--disable-background-networking",
            "--disable-component-update",
        ):
            options.add_argument(flag)
        options.binary_location = found[0]
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
        self.downloads = downloads
        self.driver = Chrome(options=options, service=ChromeService(found[1]))
        self.size(1280, 900)

    def close(self) -> None:
        self.driver.quit()

    def size(self, width: int, height: int) -> None:
        """The size of what is seen, in CSS pixels; below 600 wide a phone."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def scheme(self, name: str) -> None:
        """What the system is said to prefer: light or dark."""
        features = [{"name": "prefers-color-scheme", "value": name}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def open(self, address: str) -> None:
        self.driver.get(address)

    def run(self, script: str, *values: Any) -> Any:
        """What a JavaScript function body returns."""
        return self.driver.execute_script(script, *values)

    def until(self, question: Callable[[], Value], what: str, seconds: float = SECONDS) -> Value:
        """The first answer that is true; fails with `what` was waited for when there is none in time."""
        end = time.monotonic() + seconds
        trouble = ""
        while True:
            try:
                answer = question()
            except WebDriverException as error:
                answer = None  # the page was drawing it just then, or something is in the way
                trouble = (error.msg or "").partition("\n")[0]
            if answer:
                return answer
            assert time.monotonic() < end, f"never: {what}; {trouble}; the browser says {self.errors()}"
            time.sleep(0.05)

    def all(self, selector: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector: str) -> WebElement:
        """The first element that `selector` names and that can be seen, once it is there."""
        return self.until(
            lambda: next((each for each in self.all(selector) if each.is_displayed()), None), selector
        )

    def text(self, selector: str) -> str:
        return str(self.run("return document.querySelector(arguments[0])?.innerText || ''", selector))

    def click(self, selector: str) -> None:
        """A real click, in the middle of the element, once nothing is in its way."""

        def clicked() -> bool:
            found = self.one(selector)
            self.run("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", found)
            found.click()
            return True

        self.until(clicked, f"a click on {selector}")

    def file(self, ending: str) -> Path:
        """The newest whole file with this ending that was saved, once it is there."""

        def found() -> Path | None:
            if list(self.downloads.glob("*.crdownload")):
                return None
            files = sorted(self.downloads.glob(f"*{ending}"), key=lambda path: path.stat().st_mtime)
            return files[-1] if files else None

        return self.until(found, f"a file {ending}")

    def errors(self) -> list[str]:
        """What the browser complained of since the last time it was asked."""
        log = self.driver.get_log("browser")
        return [str(entry["message"]) for entry in log if entry["level"] in ("SEVERE", "WARNING")]
