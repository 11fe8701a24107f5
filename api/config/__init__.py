"""Settings, read from the environment once and checked before anything starts."""

from api.config.covers import CoverSettings, WebuiServer
from api.config.edge import EdgeSettings
from api.config.machine import DATABASE_NAME, Settings, with_login
from api.config.reading import SettingsError
from api.config.smtp import SmtpSettings
from api.config.stripe import StripeSettings

__all__ = ["DATABASE_NAME", "EdgeSettings", "Settings", "SettingsError", "SmtpSettings"]
__all__ += ["CoverSettings", "StripeSettings", "WebuiServer", "with_login"]
