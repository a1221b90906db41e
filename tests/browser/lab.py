"""A real JupyterLab of this Python, and Debian's Chromium before it.

Everything that Jupyter keeps (settings, workspaces, kernels, IPython's history) lies below one
folder of the test's own, the token is on, and the port is one that was free.
"""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CHROMIUM = shutil.which("chromium")
ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
FOLDERS = (
    "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR", "JUPYTERLAB_WORKSPACES_DIR",
    "JUPYTERLAB_SETTINGS_DIR", "IPYTHONDIR",
)  # fmt: skip
SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "notebook-extension/tracker": {"windowingMode": "none"},  # every output stays in the page
}
ENDED = """e => /\\[\\d+\\]/.test(e.textContent)
  || document.querySelector("[data-mime-type*='error']")"""
PATIENCE = 120  # seconds that a step may take where two cores have much else to do


@contextmanager
def server(root: Path, private: Path, settings: dict[str, dict] | None = None) -> Iterator[str]:
    """The address (token in it) of a JupyterLab whose files are those below `root`.

    settings: of Lab's extensions, by "extension/plugin", beside those that every test has.
    """
    environment = dict(os.environ, JUPYTER_TOKEN=secrets.token_hex(16), OMP_NUM_THREADS="1")
    for name in FOLDERS:
        environment[name] = str(private / name.lower())
        Path(environment[name]).mkdir(parents=True)
    for plugin, values in (SETTINGS | (settings or {})).items():
        path = private / "jupyterlab_settings_dir/@jupyterlab" / f"{plugin}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values), encoding="utf-8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1",
        f"--port={port}", "--ServerApp.port_retries=0", f"--ServerApp.root_dir={root}",
    ]  # fmt: skip
    address = f"http://127.0.0.1:{port}/{{}}?token={environment['JUPYTER_TOKEN']}"
    with open(private / "server.log", "wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            _wait_for(address.format("api/status"), process, private / "server.log")
            yield address
        finally:
            process.terminate()
            process.wait(timeout=60)


def _wait_for(address: str, process: subprocess.Popen, log: Path) -> None:
    """Until the server answers, or it has ended."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    raise AssertionError(f"JupyterLab did not start:\n{log.read_text(encoding='utf-8')[-3000:]}")


@contextmanager
def browser_page(playwright, width: int = 1400, height: int = 1600):
    """A page of headless Chromium; every wait in it has the same patience."""
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
    try:
        page = browser.new_page(viewport={"width": width, "height": height})
        page.set_default_timeout(PATIENCE * 1000)
        yield page
    finally:
        browser.close()


def run_all(page, address: str, notebook: str) -> None:
    """Open a notebook and run all its cells; returns when the last one has ended, or one failed.

    Only with the status bar's "Idle" is the kernel connected; before, Lab asks which to take.
    """
    page.goto(address.format(f"lab/tree/{notebook}"))
    page.locator("#jp-main-statusbar", has_text="| Idle").wait_for()
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    last = page.locator(".jp-CodeCell .jp-InputPrompt").last.element_handle()
    page.wait_for_function(ENDED, arg=last, timeout=3 * PATIENCE * 1000)
