"""An SMTP bridge from SparkPost to Infobip: old senders stay as they are, their mail leaves by the new provider."""

__version__ = "0.1.0"
