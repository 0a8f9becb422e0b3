"""
The log as a message on its way needs it: Twisted's `Logger` with a cheaper `info`.

Twisted makes a new logger at each use of a class's `log`, looks every level up and
copies the fields twice.  A `Log` is made once for each object that has it, and puts
what Twisted puts into an event into the fields as they came.  The events and their
observers are the same.  What is said rarely goes the common way.
"""

from time import time

from twisted.logger import Logger, LogLevel

# To ask the class for it is a call.
_INFO = LogLevel.info


class Log(Logger):
    """
    The logger of a class whose objects live long: each keeps its own, which in turn knows the object.

    Let it be an attribute of the class.
    """

    _name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        """Note the name under which an object is to keep its own."""
        self._name = name

    def __get__(self, instance: object, owner: type | None = None) -> Logger:
        """Return the logger of an object, or of the class itself."""
        found = super().__get__(instance, owner)
        if instance is not None:
            # From now on the object's attribute is found before the class's.
            vars(instance)[self._name] = found
        return found

    def info(self, format: str | None = None, **kwargs: object) -> None:  # noqa: A002 - Twisted's name for it
        """Say what is as it should be; `format` is constant, the facts are fields."""
        kwargs["log_logger"] = self
        kwargs["log_level"] = _INFO
        kwargs["log_namespace"] = self.namespace
        kwargs["log_source"] = self.source
        kwargs["log_format"] = format
        kwargs["log_time"] = time()
        self.observer(kwargs)
