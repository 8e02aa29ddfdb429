"""``mqtt://[USER@]HOST[:PORT]/TOPIC`` and ``mqtts://``: NDJSON objects to a broker, through Eclipse paho.

Estimates go out with quality of service 0 and are not retained: they are worth nothing later. While the broker is away
they are dropped and counted; when it is back only new ones are sent. ``TOPIC/status`` (retained, also the last will)
says ``online`` or ``offline`` and what the outputs are. All of paho runs in the sink's thread.
"""

from __future__ import annotations

import json
import os
import re
import select
import socket
import ssl
import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime.sinks.delivery import QueuedSink, one_line
from runtime.sinks.json_lines import estimate_line
from runtime.sinks.settings import SinkSettings
from toolkit.contract import Channel
from toolkit.errors import MissingDependencyError, UsageError
from toolkit.reading import read_text

if TYPE_CHECKING:
    from paho.mqtt.client import Client, MQTTMessageInfo

PASSWORD_VARIABLE = "EDGETOOL_MQTT_PASSWORD"
#: Messages that paho holds because the connection takes no more; what comes after waits in the sink's queue.
_IN_FLIGHT = 64
_FORM = "mqtt://[USER@]HOST[:PORT]/TOPIC"
_OPTIONS = ("ca", "cert", "key", "client_id", "keepalive_s", "password_env", "password_file")


class MqttSink(QueuedSink):
    """Options: ``password_file`` or ``password_env``; for mqtts ``ca``, ``cert``, ``key``; ``client_id``, ``keepalive_s``.

    ``backoff_s``: first and longest wait before connecting again, doubled in between. ``connect_s``: how long the broker has to
    answer.
    """

    def __init__(
        self,
        settings: SinkSettings,
        outputs: tuple[Channel, ...],
        backoff_s: tuple[float, float] = (1.0, 30.0),
        connect_s: float = 5.0,
    ) -> None:
        self._backoff_s, self._connect_s = backoff_s, connect_s
        settings.allow(*_OPTIONS)
        super().__init__(settings.text)
        self._settings, self._outputs = settings, outputs
        self._tls = settings.scheme == "mqtts"
        self._user, self._address, self._topic = _parts(settings, 8883 if self._tls else 1883)
        self._keepalive_s = int(settings.number("keepalive_s", 15, 2, 3600))
        if not self._tls and {"ca", "cert", "key"} & set(settings.options):
            raise UsageError(f"sink {self.name!r}: ca, cert and key are for mqtts://, which this is not")
        self._client_id = settings.words("client_id") or ""
        #: Ends the thread's wait for the network: read here, written there.
        self._hear: socket.socket | None = None
        self._tell: socket.socket | None = None
        self._client: Client | None = None
        self._sent: deque[MQTTMessageInfo] = deque()
        self._answer: Any = None

    def check(self) -> None:
        """See Sink. UsageError for a password or certificate that cannot be read, MissingDependencyError without paho."""
        self._make_client()

    def prepare(self) -> None:
        """Make the client; raises as :meth:`check`."""
        client = self._make_client()
        self._hear, self._tell = socket.socketpair()
        for end in (self._hear, self._tell):
            end.setblocking(False)
        self._client = client

    def _make_client(self) -> Client:
        try:
            from paho.mqtt.client import Client
            from paho.mqtt.enums import CallbackAPIVersion
        except ImportError:
            raise MissingDependencyError(
                f"sink {self.name!r} needs paho-mqtt, which is not installed; run: pip install 'edgetool[mqtt]'"
            ) from None
        client = Client(CallbackAPIVersion.VERSION2, client_id=self._client_id)
        client.connect_timeout = self._connect_s
        client.on_connect = self._connected
        client.will_set(f"{self._topic}/status", self._status("offline"), qos=1, retain=True)
        password = _password(self._settings, self._user is not None)
        if self._user is not None:
            client.username_pw_set(self._user, password)
        if self._tls:
            client.tls_set_context(_tls_context(self._settings))
        return client

    async def close(self) -> None:
        """See Sink."""
        await super().close()
        for end in (self._hear, self._tell):
            if end is not None:
                end.close()

    def wake(self) -> None:
        """Ends the thread's wait for the network."""
        if self._tell is not None:
            with suppress(OSError):  # full: it is awake already
                self._tell.send(b"\0")

    def work(self) -> None:
        """Connect, send, and connect again, until the end."""
        assert self._client is not None
        delay = self._backoff_s[0]
        try:
            while True:
                if self._connect(self._client):
                    delay = self._backoff_s[0]
                    self._converse(self._client)
                self._lose_sent()
                if self.closing:
                    return
                self.pause(delay)
                delay = min(2 * delay, self._backoff_s[1])
        finally:
            self._lose_sent()
            with suppress(Exception):  # whatever state it is in, its socket must not stay open
                self._client.disconnect()

    def _connect(self, client: Client) -> bool:
        """Whether the broker has accepted us; ``trouble`` says why not."""
        host, port = self._address
        self._answer = None
        try:
            client.connect(host, port, self._keepalive_s)
        except (OSError, ValueError) as error:
            self.trouble = f"cannot reach the broker: {_tls_words(error) or one_line(error)}; trying again"
            return False
        deadline = time.monotonic() + self._connect_s
        while self._answer is None and self._turn(client, 0.1) and time.monotonic() < deadline:
            if self.closing and time.monotonic() > deadline - self._connect_s + 0.5:
                return False
        if self._answer is None or self._answer.is_failure:
            said = (
                "it does not answer"
                if self._answer is None
                else f"it says {str(self._answer).lower()}: check user, password and rights"
            )
            self.trouble = f"the broker refused the connection: {said}; trying again"
            return False
        self.trouble = None
        client.publish(f"{self._topic}/status", self._status("online"), qos=1, retain=True)
        if not self.closing:
            self._discard()
        return True

    def _connected(self, _client: object, _data: object, _flags: object, reason: Any, _more: object) -> None:
        self._answer = reason

    def _converse(self, client: Client) -> None:
        """Send what comes, until the connection is lost or the sink closed."""
        while True:
            for estimate in self.next_estimates(_IN_FLIGHT - len(self._sent), 0.0):
                line = estimate_line(estimate, self._outputs, time.time())
                self._sent.append(client.publish(self._topic, line.rstrip(), qos=0))
            self._settle_sent()
            if self.closing and not self.queued:
                self._say_goodbye(client)
                return
            # A queue that was not emptied wakes nobody.
            more = self.queued > len(self._sent) and len(self._sent) < _IN_FLIGHT
            if not self._turn(client, 0.0 if more else 1.0):
                self.trouble = "the broker is gone; estimates are dropped until it is back"
                return

    def _turn(self, client: Client, longest_s: float) -> bool:
        """Wait for the network or an estimate, and let paho work; whether there still is a connection."""
        connection = client.socket()
        if connection is None or self._hear is None:
            return False
        poller = select.poll()
        poller.register(connection, select.POLLIN | (select.POLLOUT if client.want_write() else 0))
        poller.register(self._hear, select.POLLIN)
        # What TLS has decrypted already is not seen by poll.
        pending = isinstance(connection, ssl.SSLSocket) and connection.pending()
        ready = dict(poller.poll(0 if pending else longest_s * 1e3))
        with suppress(BlockingIOError):
            self._hear.recv(4096)
        here = ready.get(connection.fileno(), 0)
        if pending or here & ~select.POLLOUT:
            client.loop_read()
        if here & select.POLLOUT:
            client.loop_write()
        client.loop_misc()
        return client.socket() is not None

    def _say_goodbye(self, client: Client) -> None:
        last = client.publish(f"{self._topic}/status", self._status("offline"), qos=1, retain=True)
        deadline = time.monotonic() + 0.5
        while last.rc == 0 and not last.is_published() and time.monotonic() < deadline:
            if not self._turn(client, 0.05):
                return

    def _settle_sent(self) -> None:
        """Count what paho has handed to the system."""
        gone = 0
        while self._sent and self._sent[0].rc == 0 and self._sent[0].is_published():
            self._sent.popleft()
            gone += 1
        self.settle(published=gone)
        if len(self._sent) >= _IN_FLIGHT:
            self.trouble = "the connection to the broker is full; estimates are dropped"
        elif gone:
            self.trouble = None

    def _lose_sent(self) -> None:
        self.settle(dropped=len(self._sent))
        self._sent.clear()

    def _discard(self) -> None:
        """What waited while the broker was away is old now."""
        while old := self.next_estimates(1000, 0.0):
            self.settle(dropped=len(old))

    def _status(self, state: str) -> str:
        outputs = [{"name": c.name, "unit": c.unit} for c in self._outputs]
        return json.dumps({"state": state, "outputs": outputs})


def _parts(settings: SinkSettings, default_port: int) -> tuple[str | None, tuple[str, int], str]:
    """User, address and topic; UsageError says what is wrong with them."""
    place, _, topic = settings.rest.partition("/")
    user, at, host = place.rpartition("@")
    if ":" in user or (":***@" in settings.text):
        raise UsageError(
            f"sink {settings.text!r}: no password in a URL; use password_file, password_env or ${PASSWORD_VARIABLE} "
            "(an @ in a topic is written %40)"
        )
    if not topic or topic.startswith("$") or re.search(r"[+#\0]", topic) or len(topic.encode()) > 1000:
        raise UsageError(
            f"sink {settings.text!r}: topic {topic!r} must have 1 to 1000 bytes, no + or # and no $ before it: {_FORM}"
        )
    return (user or None) if at else None, settings.host_and_port(host, default_port), topic


def _password(settings: SinkSettings, user: bool) -> str | None:
    """From ``password_file``, the variable named by ``password_env``, or EDGETOOL_MQTT_PASSWORD."""
    file, variable = settings.words("password_file"), settings.words("password_env")
    if (file or variable) and not user:
        raise UsageError(f"sink {settings.text!r}: a password needs a user: {_FORM}")
    if file and variable:
        raise UsageError(f"sink {settings.text!r}: give password_file or password_env, not both")
    if file:
        try:
            return read_text(Path(file)).rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(
                f"sink {settings.text!r}: cannot read password_file {file}: {one_line(error)}"
            ) from None
    if variable and variable not in os.environ:
        raise UsageError(f"sink {settings.text!r}: the variable {variable} of password_env is not set")
    return os.environ.get(variable or PASSWORD_VARIABLE)


def _tls_context(settings: SinkSettings) -> ssl.SSLContext:
    """Verifies the broker's name and certificate, against ``ca`` or the system's; TLS 1.2 at least."""
    cert, key = settings.words("cert"), settings.words("key")
    if key and not cert:
        raise UsageError(f"sink {settings.text!r}: key needs cert")
    try:
        context = ssl.create_default_context(cafile=settings.words("ca"))
        if cert:
            context.load_cert_chain(cert, key)
    except OSError as error:  # ssl.SSLError is one
        raise UsageError(
            f"sink {settings.text!r}: cannot use ca, cert or key: {one_line(error)}; they must be readable PEM files"
        ) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _tls_words(error: BaseException) -> str | None:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({error.verify_message}): check ca and the host's name"
    return None
