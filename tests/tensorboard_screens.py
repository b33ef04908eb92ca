"""Pictures of TensorBoard's pages of a folder of logs, to be looked at:

    python tests/tensorboard_screens.py LOGS PICTURES

It starts a TensorBoard of its own, and Chromium without a window, with selenium and chromedriver.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

PAGES = ("timeseries", "scalars", "images", "histograms", "distributions", "text", "hparams", "projector")
DRAWING = 6             # seconds that a page is given
# In all shadow trees: the buttons of groups that are closed.
OPEN_GROUPS = """
const all = (root) => [...root.querySelectorAll('*')].flatMap(e => [e, ...(e.shadowRoot ? all(e.shadowRoot) : [])]);
for (const pane of all(document).filter(e => e.tagName == 'TF-CATEGORY-PAGINATED-VIEW')) pane.opened = true;
"""


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1):
            return True
    except OSError:
        return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("logs", type=Path)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--port", type=int, default=16006)
    parser.add_argument("--pages", nargs="+", default=PAGES,
                        help="such as images&tagFilter=dense")
    parser.add_argument("--size", default="1500x1300")
    arguments = parser.parse_args()
    arguments.pictures.mkdir(parents=True, exist_ok=True)
    url = f"http://localhost:{arguments.port}"
    server = subprocess.Popen([sys.executable, "-m", "tensorboard.main", "--logdir", str(arguments.logs), "--port",
                               str(arguments.port), "--samples_per_plugin", "images=100"])
    try:
        end = time.monotonic() + 60
        while not answers(f"{url}/data/runs"):
            if server.poll() is not None or time.monotonic() > end:
                raise SystemExit("TensorBoard does not answer")
            time.sleep(0.5)
        photograph(url, arguments.pages, arguments.pictures, arguments.size)
    finally:
        server.terminate()
        server.wait()


def photograph(url: str, pages: list[str], pictures: Path, size: str) -> None:
    options = webdriver.ChromeOptions()
    for flag in ("headless=new", "no-sandbox", "no-first-run", "disable-quic", "disable-background-networking",
                 "disable-component-update", "disable-sync", "enable-unsafe-swiftshader", "use-gl=angle",
                 "use-angle=swiftshader", f"window-size={size.replace('x', ',')}"):
        options.add_argument(f"--{flag}")
    options.binary_location = shutil.which("chromium") or ""
    driver = webdriver.Chrome(options, Service(shutil.which("chromedriver")))
    try:
        for page in pages:
            driver.get("about:blank")
            driver.get(f"{url}/#{page}")
            time.sleep(DRAWING)
            driver.execute_script(OPEN_GROUPS)
            time.sleep(DRAWING * (3 if page == "projector" else 1))
            driver.save_screenshot(str(pictures / f"{page.partition('&')[0]}.png"))
    finally:
        driver.quit()


if __name__ == "__main__":
    main()
