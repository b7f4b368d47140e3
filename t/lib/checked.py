"""An nginx that checks its destinations."""

import asyncio
import re

from backend import Backend
from nginx import Nginx, free_port
from tap import until

HTTP = "elb_check 150ms timeout=1s rise=2 fall=2 path=/check"
TCP = "elb_check 150ms timeout=1s rise=2 fall=2"
# no further checks after the first within a test
ONCE = "elb_check 1h timeout=1s rise=2 fall=2 path=/check"


class Checked(Nginx):
    """An nginx with an upstream block of two destinations, `a` and `b`."""

    def __init__(self, check, more="", servers="server A max_fails=0; server B max_fails=0;",
                 **parts):
        self.a, self.b = Backend("a", free_port()), Backend("b", free_port())
        parts.setdefault("workers", 2)
        http = f"upstream app {{ {more} {servers} {check}; }}"
        super().__init__(
            server="location ~ ^/ { proxy_pass http://app; add_header X-Worker $pid always; }",
            http=self.fill_in_servers(http), **parts)

    def fill_in_servers(self, text):
        """A configuration snippet with A and B replaced by their addresses."""
        return re.sub(r"\b[AB]\b", lambda m: getattr(self, m[0].lower()).address, text)

    async def __aenter__(self):
        await self.a.start()
        await self.b.start()
        return await super().__aenter__()

    async def __aexit__(self, *error):
        # checks continue: there may never be a moment without a connection
        if not self.stopping:
            self.signal("QUIT")
        await super().__aexit__(*error)
        await self.a.stop()
        await self.b.stop()

    def told(self, backend, pattern):
        """The log messages about a destination."""
        start = re.escape(f"destination {backend.address} of upstream \"app\" ")
        return [line for line in self.messages() if re.search(start + pattern, line)]

    async def tells(self, backend, pattern, times=1):
        """Waits for a log message about a destination."""
        await until(lambda: len(self.told(backend, pattern)) >= times, 10,
                    f"{pattern} is not said of {backend.name}")
        return self.told(backend, pattern)[-1]

    async def get(self, path="/"):
        """Sends a request: status, name of the backend, and the worker."""
        client = await self.connect()
        await client.send(f"GET {path} HTTP/1.1\r\nHost: app\r\nConnection: close\r\n\r\n".encode())
        text = (await client.rest()).decode()
        worker = re.search(r"\r\nX-Worker: (\d+)", text)
        return int(text.split()[1]), text.split("\r\n\r\n")[1], worker and worker[1]

    async def answers(self, times=20):
        """The backends that answer several requests."""
        got = [await self.get() for _ in range(times)]
        return {name if status == 200 else status for status, name, _ in got}

    async def is_spread(self):
        """Waits until both destinations receive requests."""
        for _ in range(50):
            if await self.answers(4) == {"a", "b"}:
                return
            await asyncio.sleep(0.1)
        raise AssertionError("not both of them get requests")

    def refused(self):
        """How often a request found no listener."""
        return sum("connect() failed" in line for line in self.messages())
