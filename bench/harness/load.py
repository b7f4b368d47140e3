"""The load tool as a child process: the destination, and clients that run rounds."""

import json
import subprocess
from pathlib import Path

from harness.nginx import free_port

ROOT = Path(__file__).resolve().parent.parent.parent
WSLOAD = ROOT / "target/release/wsload"


def build() -> None:
    """Builds the load tool, if it is not up to date."""
    subprocess.run(
        ["cargo", "build", "--release", "--locked", "--quiet", "--package", "wsload"],
        cwd=ROOT, check=True,
    )


class Wsload:
    """A running wsload. It ends at the end of its standard input."""

    def __init__(self, core: int | str, *arguments: object, wait: bool = True):
        command = ["taskset", "-c", str(core), str(WSLOAD), *map(str, arguments)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        if wait:
            self.opened()

    def opened(self) -> None:
        """Waits until its sockets are open."""
        self._line()

    def _line(self, strict: bool = True) -> dict:
        text = self.process.stdout.readline()
        if not text:
            raise RuntimeError(f"{self.process.args} ended early")
        line = json.loads(text)
        if strict and line["errors"]:
            self.close()
            raise RuntimeError(f"{self.process.args}: {line['errors']}")
        return line

    def go(self) -> dict:
        """Runs a round; raises an error if a message was lost or damaged."""
        self.begin()
        return self.result()

    def begin(self, sample: int | None = None) -> None:
        """Starts a round on all sockets, or on this number of them."""
        self.process.stdin.write(f"go {sample}\n" if sample else "go\n")
        self.process.stdin.flush()

    def result(self, strict: bool = True) -> dict:
        """Waits for the end of the round. Unless `strict`, the result contains the errors."""
        return self._line(strict)

    def close(self) -> None:
        """Ends it."""
        self.process.stdin.close()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Destination(Wsload):
    """The destination, on its own port."""

    def __init__(self, core: int):
        self.address = f"127.0.0.1:{free_port()}"
        super().__init__(core, "serve", "--until-eof", "--listen", self.address)


class Clients(Wsload):
    """Clients that have opened their sockets at `address` and wait for rounds."""

    def __init__(
        self, core: int | str, mode: str, address: str, *arguments: object, wait: bool = True
    ):
        super().__init__(core, mode, "--gate", "--connect", address, *arguments, wait=wait)
