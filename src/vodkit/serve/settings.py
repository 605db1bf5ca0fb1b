"""OutletSettings: where events and pictures of a run go besides its folder. Nothing heavy here."""

from dataclasses import dataclass

from vodkit.ground.errors import SettingsError
from vodkit.ground.settings import check_ranges, setting

TOKEN_VARIABLE = "VODKIT_TOKEN"  # noqa: S105 - the name of a variable
SECRET_VARIABLE = "VODKIT_WEBHOOK_SECRET"  # noqa: S105 - the name of a variable


@dataclass(frozen=True, kw_only=True)
class OutletSettings:
    """Receivers of a run that is at work. They change none of its results."""

    mqtt: str = setting("", "Publish events: mqtt[s]://[user:password@]broker[:port][/prefix].")
    ha: bool = setting(
        default=False, help="With --mqtt: announce to Home Assistant.", flags=("--ha",)
    )
    webhook: str = setting(
        "", f"POST each event to this http(s):// address; {SECRET_VARIABLE} signs it."
    )
    keep_doubtful: int = setting(
        0, "Keep this many frames of doubtful tracks in RUN/doubtful, for review; 0: none.", low=0
    )
    serve: str = setting(
        "", f"Live sources: serve a page at HOST:PORT or PORT; {TOKEN_VARIABLE} is its token."
    )

    @property
    def is_any(self) -> bool:
        """Whether there is a receiver at all."""
        return bool(self.mqtt or self.webhook or self.serve)

    @property
    def place(self) -> tuple[str, int]:
        """Host and port of ``serve``.

        >>> OutletSettings(serve="[::1]:8790").place
        ('::1', 8790)
        """
        host, _, port = self.serve.rpartition(":")
        if not port.isdecimal() or not 0 <= int(port) < 65536:
            allowed = "allowed: HOST:PORT, as 127.0.0.1:8790, or PORT"
            raise SettingsError(f"serve is {self.serve!r}; {allowed}")
        return host.strip("[]") or "127.0.0.1", int(port)

    def __post_init__(self) -> None:
        """Check ranges, forms and combinations."""
        check_ranges(self)
        for name, schemes in (("mqtt", ("mqtt", "mqtts")), ("webhook", ("http", "https"))):
            address = getattr(self, name)
            if address and address.partition("://")[0] not in schemes:
                allowed = " or ".join(f"{scheme}://..." for scheme in schemes)
                raise SettingsError(f"{name} begins with no known scheme; allowed: {allowed}")
        if self.serve:
            assert self.place
        if self.ha and not self.mqtt:
            raise SettingsError("ha without mqtt; Home Assistant learns of sources by MQTT")


@dataclass(frozen=True, kw_only=True)
class ServiceSettings:
    """Limits of the service."""

    sessions: int = setting(64, "Sessions at once.", low=1)
    idle_s: float = setting(300.0, "A session without a frame for so long ends (s).", above=0)
    waiting: int = setting(16, "Requests that may wait for the detector.", low=1)
    pixels: int = setting(25_000_000, "Most pixels of a picture.", low=1)

    def __post_init__(self) -> None:
        """Check ranges."""
        check_ranges(self)
