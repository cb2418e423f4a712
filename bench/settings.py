"""Settings of the engine's measurements: the portal's, as they are, so that the figures are the product's."""

from portal.settings import *  # noqa: F403
