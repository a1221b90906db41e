"""A real Jupyter kernel for tests, and what each cell shows in it."""

import sys
from dataclasses import dataclass, field
from pathlib import Path

from jupyter_client import KernelManager
from jupyter_client.kernelspec import KernelSpec

from dbeta_lib.command_line import ROOT
from dbeta_lib.progress import AS_TEXT


@dataclass
class Shown:
    """What a cell shows."""

    data: list[dict[str, str]] = field(default_factory=list)  # by MIME type, one each display
    error: str = ""  # "ValueError: ..."
    stdout: str = ""
    stderr: str = ""


class Kernel:
    """A kernel of this Python and this library, started in a folder."""

    def __init__(self, folder: Path):
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        self.manager = KernelManager()
        self.manager._kernel_spec = KernelSpec(
            argv=argv, display_name="Python 3", language="python",
            env={"PYTHONPATH": str(ROOT), AS_TEXT: "1"},
        )  # fmt: skip
        self.manager.start_kernel(cwd=str(folder))
        self.client = self.manager.blocking_client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)

    def run(self, code: str) -> Shown:
        """Run a cell to its end."""
        shown = Shown()

        def keep(message: dict) -> None:
            content = message["content"]
            if message["msg_type"] == "stream":
                name = content["name"]
                setattr(shown, name, getattr(shown, name) + content["text"])
            elif message["msg_type"] in ("display_data", "execute_result"):
                shown.data.append(content["data"])

        reply = self.client.execute_interactive(code, output_hook=keep, timeout=600)["content"]
        if reply["status"] == "error":
            shown.error = f"{reply['ename']}: {reply['evalue']}"
        return shown

    def close(self) -> None:
        """End the kernel."""
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)
