"""TLS ends under the control of a test, with OpenSSL's own functions: Python's ssl module can
neither request a key update nor send a ticket."""

import asyncio
import ctypes
import ctypes.util
import fcntl
import functools
import socket
import struct
import termios

from nginx import Nginx
from peer import Peer, request
from tap import PATIENCE, equal

_LIB = ctypes.CDLL(ctypes.util.find_library("ssl"))
_WANT_READ, _WANT_WRITE, _ZERO_RETURN = 2, 3, 6
_KEY_UPDATE_REQUESTED = 1
_PEM = 1


def _declare(result, name, *arguments):
    function = getattr(_LIB, name)
    function.restype, function.argtypes = result, arguments
    return function


_P, _I, _S = ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p
_client_method = _declare(_P, "TLS_client_method")
_server_method = _declare(_P, "TLS_server_method")
_context_new = _declare(_P, "SSL_CTX_new", _P)
_use_certificate = _declare(_I, "SSL_CTX_use_certificate_file", _P, _S, _I)
_use_key = _declare(_I, "SSL_CTX_use_PrivateKey_file", _P, _S, _I)
_new = _declare(_P, "SSL_new", _P)
_free = _declare(None, "SSL_free", _P)
_set_fd = _declare(_I, "SSL_set_fd", _P, _I)
_accept = _declare(_I, "SSL_accept", _P)
_connect = _declare(_I, "SSL_connect", _P)
_read = _declare(_I, "SSL_read", _P, _P, _I)
_write = _declare(_I, "SSL_write", _P, _P, _I)
_get_error = _declare(_I, "SSL_get_error", _P, _I)
_key_update = _declare(_I, "SSL_key_update", _P, _I)
_do_handshake = _declare(_I, "SSL_do_handshake", _P)
_new_session_ticket = _declare(_I, "SSL_new_session_ticket", _P)
_session_reused = _declare(_I, "SSL_session_reused", _P)
_clear_error = _declare(None, "ERR_clear_error")


@functools.cache
def _context(certificate):
    """A context for clients, or for servers with a folder that contains cert.pem and key.pem."""
    context = _context_new(_server_method() if certificate else _client_method())
    if certificate and not (
            _use_certificate(context, f"{certificate}/cert.pem".encode(), _PEM) == 1
            and _use_key(context, f"{certificate}/key.pem".encode(), _PEM) == 1):
        raise RuntimeError(f"OpenSSL does not like the certificate in {certificate}")
    return context


class Secure(Peer):
    """An end of a TLS 1.3 connection: a client, which does not verify certificates, or a server."""

    def __init__(self, connection, masks, certificate=None):
        super().__init__(connection, masks)
        self.is_server = certificate is not None
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        self.tls = _new(_context(certificate))
        _set_fd(self.tls, connection.fileno())

    async def begin(self):
        """Performs the TLS handshake."""
        await self._until_done(_accept if self.is_server else _connect)

    async def send(self, data):
        if data:
            await self._until_done(lambda tls: _write(tls, data, len(data)))

    async def receive(self, size=65536, timeout=10):
        data = ctypes.create_string_buffer(size)
        read = self._until_done(lambda tls: _read(tls, data, size))
        count = await asyncio.wait_for(read, timeout * PATIENCE)
        self.buffer += data[:count]
        return count > 0

    async def ask_for_keys(self, seconds):
        """Requests key updates of both ends repeatedly, without reading, until the other end stops
        reading too; returns their number."""
        loop = asyncio.get_running_loop()
        end, count = loop.time() + seconds * PATIENCE, 0
        while loop.time() < end:
            for _ in range(200):
                _clear_error()
                if _key_update(self.tls, _KEY_UPDATE_REQUESTED) != 1 or _do_handshake(self.tls) != 1:
                    raise ConnectionError(f"no new keys after {count} times")
            count += 200
            await asyncio.sleep(0)
            # with more unsent bytes, OpenSSL could not read until all are sent
            if self._unsent() > 20_000 and await self._is_stuck():
                return count
        raise AssertionError(f"the peer still reads after {count} times")

    def _unsent(self):
        """Bytes that the other host has not acknowledged."""
        return struct.unpack("i", fcntl.ioctl(self.connection, termios.TIOCOUTQ, b"\0" * 4))[0]

    async def _is_stuck(self):
        before = self._unsent()
        for _ in range(20):
            await asyncio.sleep(0.02 * PATIENCE)
            if self._unsent() != before:
                return False
        return True

    async def send_ticket(self):
        """Makes a server send a session ticket with its next bytes."""
        if _new_session_ticket(self.tls) != 1:
            raise ConnectionError("no ticket is possible")

    def is_reused(self):
        """Whether the handshake resumed an earlier session."""
        return _session_reused(self.tls) == 1

    def close(self):
        super().close()
        tls, self.tls = self.tls, None
        if tls:
            _free(tls)

    async def _until_done(self, call):
        """Calls a function of OpenSSL until it is complete; 0 at the end of the stream."""
        while True:
            if not self.tls:
                raise ConnectionError("closed")
            _clear_error()
            result = call(self.tls)
            if result > 0:
                return result
            error = _get_error(self.tls, result)
            if error == _ZERO_RETURN:
                return 0
            if error not in (_WANT_READ, _WANT_WRITE):
                raise ConnectionError(f"TLS failed with {error}")
            await self._is_ready(error)

    async def _is_ready(self, wanted):
        loop = asyncio.get_running_loop()
        add, remove = {_WANT_READ: (loop.add_reader, loop.remove_reader),
                       _WANT_WRITE: (loop.add_writer, loop.remove_writer)}[wanted]
        ready = loop.create_future()
        add(self.connection, lambda: ready.done() or ready.set_result(None))
        try:
            await ready
        finally:
            if self.connection.fileno() != -1:
                remove(self.connection)


class SecureNginx(Nginx):
    """An nginx with TLS 1.3, whose tickets and key updates arrive in mid-stream, towards its
    clients at the port OTHER, or towards its destination. TLS 1.3 is not nginx's default before
    1.23.4."""

    LISTEN = """
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_certificate FOLDER/cert.pem;
        ssl_certificate_key FOLDER/key.pem;
        server {
            listen 127.0.0.1:OTHER ssl sndbuf=SIZE;
            location / { proxy_pass http://DESTINATION; }
        }
    """

    PASS = """
        proxy_ssl_protocols TLSv1.2 TLSv1.3;
        location ~ ^/ { proxy_pass https://DESTINATION; }
    """

    def __init__(self, clients=False, destinations=False, http="", send_buffer="4k", **more):
        self.destinations = destinations
        listen = self.LISTEN.replace("SIZE", send_buffer) if clients else ""
        super().__init__(http=http + listen,
                         server=self.PASS if destinations else "", **more)
        if destinations:
            # the kernel's send buffers, which nginx cannot set here, hold only a few segments
            self.destination.listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)

    def configure(self, **parts):
        if not (self.folder / "key.pem").exists():
            self.make_certificate()
        if self.destinations:
            self.destination.make_peer = \
                lambda connection: Secure(connection, masks=False, certificate=self.folder)
        super().configure(**parts)

    async def secure_tunnel(self, path, **how):
        """Both ends of a new WebSocket whose client uses TLS."""
        client = await connect_secure(self.other, **how)
        self.peers.append(client)
        await client.send(request(path))
        await client.until_head()
        equal(client.status, 101, "status of the handshake")
        return client, await self.destination.peer(path)


async def connect_secure(port, receive_buffer=None):
    """A client with a TLS connection."""
    connection = socket.socket()
    if receive_buffer:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.setblocking(False)
    await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    peer = Secure(connection, masks=True)
    await peer.begin()
    return peer
