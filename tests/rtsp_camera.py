"""The part of RTSP 1.0 (RFC 2326) that a camera needs, for tests and for ``benchmarks``.

RTP is interleaved in the connection. The content is MPEG-TS, or H.264 as RFC 6184 packs it.
"""

import io
import re
import socketserver
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import av

H264, MPEG_TS = 96, 33
FIRST_TICK = 126_000
TICKS_PER_S = 90_000


class RtspServer(socketserver.ThreadingTCPServer):
    """``play(send)`` is called for each connection; ``send`` takes MPEG-TS or pictures."""

    daemon_threads = True
    allow_reuse_address = True
    block_on_close = False

    def __init__(
        self,
        place: tuple[str, int],
        payload: int,
        play: Callable[[Any], None],
        says: Callable[[], str] = str,
    ) -> None:
        """``says``: gives more lines of the stream's description."""
        super().__init__(place, Camera)
        self.payload, self.play, self.says = payload, play, says


class Camera(socketserver.StreamRequestHandler):
    """One connection."""

    server: RtspServer

    def handle(self) -> None:
        while (request := self._request()) is not None:
            method, url, number = request
            head = f"RTSP/1.0 200 OK\r\nCSeq: {number}\r\nSession: 1\r\n"
            body = ""
            if method == "OPTIONS":
                head += "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n"
            elif method == "DESCRIBE":
                body = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"
                body += f"m=video 0 RTP/AVP {self.server.payload}\r\na=control:track0\r\n"
                if self.server.payload == H264:
                    body += f"a=rtpmap:{H264} H264/90000\r\na=fmtp:{H264} packetization-mode=1\r\n"
                body += self.server.says()
                head += f"Content-Base: {url}/\r\nContent-Type: application/sdp\r\n"
            elif method == "PLAY":
                head += f"RTP-Info: url={url}/track0;seq=0;rtptime={FIRST_TICK}\r\n"
            elif method == "SETUP":
                head += "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n"
            head += f"Content-Length: {len(body)}\r\n\r\n"
            self.wfile.write((head + body).encode())
            if method == "PLAY":
                self._play()
                return

    def _request(self) -> tuple[str, str, str] | None:
        lines = []
        while (line := self.rfile.readline().strip()) != b"":
            lines.append(line.decode())
        if not lines:
            return None
        method, url, _ = lines[0].split()
        number = next(x.split(":")[1].strip() for x in lines if x.lower().startswith("cseq"))
        return method, url, number

    def _play(self) -> None:
        self._number = 0
        send = self._send_pictures if self.server.payload == H264 else self._send
        try:
            self.server.play(send)
        except ConnectionError:
            return

    def _send(self, media: bytes) -> None:
        step = 7 * 188
        for i in range(0, len(media), step):
            self._send_one(media[i : i + step], i // step * 3600)

    def _send_one(self, content: bytes, ticks: int, *, is_last: bool = False) -> None:
        kind = self.server.payload | is_last << 7
        clock = ticks & 0xFFFFFFFF
        packet = struct.pack(">BBHII", 0x80, kind, self._number & 0xFFFF, clock, 1) + content
        self.wfile.write(struct.pack(">cBH", b"$", 0, len(packet)) + packet)
        self._number += 1

    def _send_pictures(self, media: bytes | Iterator[tuple[int, bytes]]) -> None:
        """H.264 units, whole or cut, of a transport stream or of (tick, picture) as they come."""
        for ticks, picture in pictures_of(media) if isinstance(media, bytes | bytearray) else media:
            units = re.split(rb"\x00?\x00\x00\x01", picture)[1:]
            parts = [part for unit in units for part in packed(unit)]
            for i, part in enumerate(parts, 1):
                self._send_one(part, FIRST_TICK + ticks, is_last=i == len(parts))


def pictures_of(media: bytes) -> Iterator[tuple[int, bytes]]:
    """Ticks and H.264 of the pictures in a transport stream."""
    with av.open(io.BytesIO(media)) as source:
        for picture in source.demux(video=0):
            if picture.size:
                yield picture.pts, bytes(picture)


def in_real_time(pictures: Sequence[bytes], rate: float) -> Iterator[tuple[int, bytes]]:
    """The pictures again and again, ``rate`` a second, without an end."""
    begun_s, number = time.monotonic(), 0
    while True:
        yield round(number * TICKS_PER_S / rate), pictures[number % len(pictures)]
        number += 1
        time.sleep(max(0.0, begun_s + number / rate - time.monotonic()))


def packed(unit: bytes, most: int = 60) -> list[bytes]:
    """A unit as it is, or as fragments (FU-A)."""
    if len(unit) <= most:
        return [unit]
    cuts = range(1, len(unit), most)
    ends = {1: 0x80, cuts[-1]: 0x40}
    head, kind = unit[0] & 0xE0 | 28, unit[0] & 0x1F
    return [bytes([head, kind | ends.get(i, 0)]) + unit[i : i + most] for i in cuts]
