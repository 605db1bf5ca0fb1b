"""MQTT: events at least once and in order, counts and status retained, a last will.

::

    PREFIX/SOURCE/events          each event, QoS 1
    PREFIX/SOURCE/counts/CLASS    objects that are here now, retained
    PREFIX/SOURCE/status          online; stopped; offline (the last will), retained

With Home Assistant, a sensor for each count and an event entity are announced under
``homeassistant/``. One source is one connection, so that each has a last will.
"""

import json
import re
import threading
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote, urlsplit
from zlib import crc32

from vodkit.ground.errors import SettingsError, needs
from vodkit.ground.text import redacted
from vodkit.infer.event import TYPES
from vodkit.serve.courier import DeliveryError

_PORTS = {"mqtt": 1883, "mqtts": 8883}
_LONGEST_PAUSE_S = 10


class MqttReceiver:
    """A receiver of events behind a broker; see courier.Receiver."""

    def __init__(
        self, address: str, source: str, classes: Sequence[str], *, ha: bool = False,
        ack_s: float = 10.0, connect: bool = True,
    ) -> None:  # fmt: skip
        """Connect in the background; a broker that is away is tried again and again.

        Args:
            address: mqtt[s]://[user:password@]broker[:port][/prefix].
            source: name of the source, a level of its topics.
            classes: that have counts.
            ha: announce to Home Assistant.
            ack_s: patience with the broker's confirmation of events.
            connect: False: only check the address.

        Raises:
            SettingsError: paho-mqtt is missing, or the address has no broker.
        """
        host, port, prefix = _parsed(address)
        self._topic = f"{prefix}/{_level(source)}"
        self.name = f"{urlsplit(address).scheme}://{host}:{port}/{prefix}"
        self.key = f"{self.name}/{source}"
        self._source, self._classes, self._ha, self._ack_s = source, classes, ha, ack_s
        self._here: dict[str, str] = {}
        self._counts: Counter[str] = Counter()
        self._sent: list[tuple[bytes, Any]] = []
        """events that the broker has not confirmed, and their publications"""
        self._trouble, self._is_here = "no connection yet", threading.Event()
        self._client = self._made(address)
        if connect:  # from now on its thread calls back
            self._client.connect_async(host, port, keepalive=30)
            self._client.loop_start()

    def _made(self, address: str) -> Any:
        with needs("paho-mqtt is not installed; pip install 'vodkit[mqtt]'"):
            from paho.mqtt import client as paho
            from paho.mqtt.enums import CallbackAPIVersion
        parts = urlsplit(address)
        name = f"vodkit-{crc32(self.key.encode()):08x}"
        client = paho.Client(CallbackAPIVersion.VERSION2, client_id=name)
        if parts.username:
            client.username_pw_set(unquote(parts.username), unquote(parts.password or ""))
        if parts.scheme == "mqtts":
            client.tls_set()
        client.will_set(f"{self._topic}/status", "offline", qos=1, retain=True)
        client.reconnect_delay_set(1, _LONGEST_PAUSE_S)
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        return client

    def begin(self, ongoing: Sequence[dict[str, Any]]) -> None:
        """See Receiver."""
        self._here = {str(entry["id"]): str(entry["class"]) for entry in ongoing}
        self._recount()

    def deliver(self, lines: Sequence[bytes]) -> int:
        """See Receiver."""
        if not self._is_here.wait(self._ack_s / 10):
            raise DeliveryError(self._trouble)
        while self._sent and self._sent[0][0] != lines[0]:
            self._sent.pop(0)  # it was dropped as too old, while the broker was away
        # What was sent before the connection broke, the client sends again by itself, in order.
        for line in lines[len(self._sent) :]:
            topic = f"{self._topic}/events"
            self._sent.append((line, self._client.publish(topic, line.rstrip(b"\n"), qos=1)))
        end_s, count = time.monotonic() + self._ack_s, 0
        while self._sent and self._is_confirmed(self._sent[0][1], end_s - time.monotonic()):
            self._take(json.loads(self._sent.pop(0)[0]))
            count += 1
        if not count:
            raise DeliveryError(self._trouble or f"no confirmation in {self._ack_s:g} s")
        self._recount()
        return count

    def _is_confirmed(self, publication: Any, left_s: float) -> bool:
        """Whether the broker has an event, waiting for that while it is connected."""
        end_s = time.monotonic() + left_s
        while not publication.is_published():
            if time.monotonic() >= end_s or not self._is_here.is_set():
                return False
            publication.wait_for_publish(min(0.2, max(end_s - time.monotonic(), 0.0)))
        return True

    def close(self) -> None:
        """See Receiver; the status is ``stopped``, and not the last will's ``offline``."""
        if self._is_here.is_set():
            last = self._client.publish(f"{self._topic}/status", "stopped", qos=1, retain=True)
            self._is_confirmed(last, 2.0)
        self._client.disconnect()
        self._client.loop_stop()

    def _take(self, entry: dict[str, Any]) -> None:
        self._here[entry["id"]] = entry["class"]
        if entry["type"] == "ended":
            del self._here[entry["id"]]

    def _recount(self) -> None:
        """Publish the counts that have changed."""
        counts = Counter(self._here.values())
        for name in self._classes:
            if counts[name] != self._counts[name] and self._is_here.is_set():
                self._publish_count(name, counts[name])
        self._counts = counts

    def _publish_count(self, name: str, count: int) -> None:
        self._client.publish(f"{self._topic}/counts/{_level(name)}", count, qos=1, retain=True)

    def _on_connect(self, client: Any, _data: Any, _flags: Any, code: Any, _more: Any) -> None:
        if code.is_failure:
            self._trouble = f"refuses the connection: {code}"
            return
        client.publish(f"{self._topic}/status", "online", qos=1, retain=True)
        for topic, content in self._announcements() if self._ha else ():
            client.publish(topic, json.dumps(content), qos=1, retain=True)
        for name in self._classes:
            self._publish_count(name, self._counts[name])
        self._trouble = ""
        self._is_here.set()

    def _on_connect_fail(self, _client: Any, _data: Any) -> None:
        self._trouble = "cannot be reached"

    def _on_disconnect(self, _c: Any, _data: Any, _flags: Any, code: Any, _more: Any) -> None:
        self._trouble = self._trouble or f"connection lost: {code}"
        self._is_here.clear()

    def _announcements(self) -> list[tuple[str, dict[str, Any]]]:
        """Topic and content of what Home Assistant is to know."""
        node = f"vodkit_{re.sub(r'[^a-zA-Z0-9_-]', '_', self._source)}"
        common = {
            "availability_topic": f"{self._topic}/status",
            "payload_available": "online",
            "payload_not_available": "offline",
            "device": {
                "identifiers": [node], "name": f"vodkit {self._source}", "manufacturer": "vodkit"
            },
        }  # fmt: skip
        events = {
            **common,
            "name": "events",
            "unique_id": f"{node}_events",
            "state_topic": f"{self._topic}/events",
            "event_types": list(TYPES),
            "value_template": "{{ dict(value_json, event_type=value_json.type) | to_json }}",
        }
        found = [(f"homeassistant/event/{node}/events/config", events)]
        for place, name in enumerate(self._classes):
            sensor = {
                **common,
                "name": f"{name} count",
                "unique_id": f"{node}_count_{place}",
                "state_topic": f"{self._topic}/counts/{_level(name)}",
                "state_class": "measurement",
            }
            found.append((f"homeassistant/sensor/{node}/count_{place}/config", sensor))
        return found


def _parsed(address: str) -> tuple[str, int, str]:
    """Host, port and prefix of topics."""
    parts = urlsplit(address)
    try:
        port = parts.port or _PORTS[parts.scheme]
    except ValueError as error:
        raise SettingsError(f"mqtt {redacted(address)}: {error}") from error
    prefix = parts.path.strip("/") or "vodkit"
    if not parts.hostname:
        raise SettingsError(f"mqtt {redacted(address)} has no broker")
    if set("+#") & set(prefix):
        raise SettingsError(f"mqtt prefix {prefix!r}; allowed: no + and #")
    return parts.hostname, port, prefix


def _level(name: str) -> str:
    """A name as one level of a topic.

    >>> _level("traffic light/red")
    'traffic_light_red'
    """
    return re.sub(r"[\s/+#$]+", "_", name) or "_"
