"""Where the configuration is by default.  On its own, because a help text names it and reads none."""

DEFAULT_PATH = "/etc/smtpbridge/smtpbridge.toml"
