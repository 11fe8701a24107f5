"""Settings, read from the environment once and checked before anything starts."""

from api.config.edge import EdgeSettings
from api.config.machine import DATABASE_NAME, Settings, with_login
from api.config.reading import SettingsError
from api.config.stripe import StripeSettings

__all__ = ["DATABASE_NAME", "EdgeSettings", "Settings", "SettingsError", "StripeSettings"]
__all__ += ["with_login"]
