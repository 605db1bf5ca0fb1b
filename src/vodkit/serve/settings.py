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

    @property
    def is_any(self) -> bool:
        """Whether there is a receiver at all."""
        return bool(self.mqtt or self.webhook)

    def __post_init__(self) -> None:
        """Check ranges, forms and combinations."""
        check_ranges(self)
        for name, schemes in (("mqtt", ("mqtt", "mqtts")), ("webhook", ("http", "https"))):
            address = getattr(self, name)
            if address and address.partition("://")[0] not in schemes:
                allowed = " or ".join(f"{scheme}://..." for scheme in schemes)
                raise SettingsError(f"{name} begins with no known scheme; allowed: {allowed}")
        if self.ha and not self.mqtt:
            raise SettingsError("ha without mqtt; Home Assistant learns of sources by MQTT")
