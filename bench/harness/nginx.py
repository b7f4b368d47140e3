"""An nginx for the benchmark: configuration, start, worker, stop."""

import re
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from harness import proc

CONF = """\
{load_module}
daemon off;
master_process {master};
worker_processes 1;
worker_cpu_affinity {affinity};
worker_rlimit_nofile 20000;
pid nginx.pid;
error_log error.log notice;
events {{ worker_connections 16000; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path tmp;
    proxy_temp_path tmp;
    fastcgi_temp_path tmp;
    uwsgi_temp_path tmp;
    scgi_temp_path tmp;
    map $http_upgrade $connection_upgrade {{ default upgrade; '' close; }}
    upstream destination {{ server {destination}; }}
    {http}
    server {{
        listen 127.0.0.1:{plain} proxy_protocol;
        location / {{ return 301 https://$host$request_uri; }}
    }}
    server {{
        listen 127.0.0.1:{port} proxy_protocol;
        {tls}
        set_real_ip_from 127.0.0.0/8;
        real_ip_header proxy_protocol;
        proxy_read_timeout 1h;
        proxy_send_timeout 1h;
        {directives}
        location = /ping {{ return 200 "ok\\n"; }}
        location / {{
            proxy_pass http://destination;
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade;
            proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Proto https;
        }}
    }}
}}
"""

TLS = """\
listen 127.0.0.1:{port} ssl proxy_protocol;
        ssl_certificate {folder}/certificate.pem;
        ssl_certificate_key {folder}/key.pem;"""

PROBE = b"PROXY TCP4 127.0.0.1 127.0.0.1 1 1\r\nGET /ping HTTP/1.0\r\nHost: a\r\n\r\n"


def free_port() -> int:
    """A free port of the loopback interface."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Nginx:
    """A running nginx with one worker on `core`, in front of `destination`."""

    def __init__(
        self,
        binary: Path,
        destination: str,
        *,
        module: Path | None = None,
        directives: str = "",
        http: str = "",
        tls: bool = False,
        core: int = 0,
        master: bool = True,
        under: tuple[str, ...] = (),
    ):
        self.port, self.plain_port, self.tls_port = (free_port() for _ in range(3))
        self.folder = Path(tempfile.mkdtemp(prefix="bench-nginx-"))
        # if the master runs as root, the worker runs as another user and writes here
        self.folder.chmod(0o777)
        self.log = self.folder / "error.log"
        conf = self.folder / "nginx.conf"
        conf.write_text(
            CONF.format(
                load_module=f"load_module {module};" if module else "",
                master="on" if master else "off",
                affinity=format(1 << core, "b"),
                destination=destination,
                plain=self.plain_port,
                port=self.port,
                tls=self._tls() if tls else "",
                directives=directives,
                http=http,
            )
        )
        command = [*under, str(binary), "-p", str(self.folder), "-c", str(conf)]
        with open(self.folder / "output", "wb") as output:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        self._wait_until_it_answers()
        self.worker = self.workers()[0] if master else self.process.pid

    @property
    def address(self) -> str:
        """The address for WebSockets."""
        return f"127.0.0.1:{self.port}"

    @property
    def tls_address(self) -> str:
        """The address for WebSockets with TLS after the PROXY header."""
        return f"127.0.0.1:{self.tls_port}"

    def _tls(self) -> str:
        """The directives of the TLS listener, with a new certificate."""
        curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
        files = ("-keyout", self.folder / "key.pem", "-out", self.folder / "certificate.pem")
        subprocess.run(
            ["openssl", "req", "-x509", *curve, *files, "-subj", "/CN=localhost", "-days", "1"],
            check=True, capture_output=True,
        )
        return TLS.format(port=self.tls_port, folder=self.folder)

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self.process.poll() is None:
            with suppress(OSError):
                with socket.create_connection(("127.0.0.1", self.port), timeout=5) as probe:
                    probe.sendall(PROBE)
                    if b" 200 " in probe.recv(1024):
                        return
            time.sleep(0.05)
        said = (self.folder / "output").read_text() + self._logged()
        self._end()
        raise RuntimeError(f"nginx does not answer: {said.strip()}")

    def _logged(self) -> str:
        return self.log.read_text() if self.log.exists() else ""

    def _end(self) -> None:
        """Stops nginx by its pid."""
        # without a master, a signal during work is handled only after the next event
        time.sleep(0.3)
        self.process.terminate()
        for _ in range(30):
            try:
                self.process.wait(1)
                return
            except subprocess.TimeoutExpired:
                with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                    pass  # the event
        self.process.kill()
        self.process.wait()

    def signal(self, number: int) -> None:
        """Sends a signal to the master."""
        self.process.send_signal(number)

    def workers(self) -> list[int]:
        """Workers of all generations."""
        return proc.children(self.process.pid)

    def close(self) -> None:
        """Stops nginx; raises an error if its log has unexpected messages."""
        self._end()
        log = self._logged()
        shutil.rmtree(self.folder, ignore_errors=True)
        bad = [line for line in log.splitlines() if re.search(r"\[(alert|crit|emerg)\]", line)]
        # after SIGTERM nginx reports the sockets that are still open
        bad = [line for line in bad if "open socket" not in line and "aborting" not in line]
        if bad:
            raise RuntimeError("nginx logged: " + "; ".join(bad[:3]))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def version(binary: Path) -> str:
    """The version from `nginx -v`."""
    result = subprocess.run([binary, "-v"], capture_output=True, text=True, check=True)
    return result.stderr.strip().removeprefix("nginx version: ")
