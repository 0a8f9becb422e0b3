"""
django-anymail's webhook view for SparkPost, as it comes from PyPI, and what it tells its application.

Django is told how it is set up before anything of anymail is imported, and only once in a process.
"""

import base64
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

USER, PASSWORD = "anymail", "hook key 1"
AUTHORIZATION = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


def tracking_view() -> Any:
    """Return the view."""
    import django
    from django.conf import settings

    if not settings.configured:
        secret = f"{USER}:{PASSWORD}"
        settings.configure(ANYMAIL={"WEBHOOK_SECRET": secret}, ALLOWED_HOSTS=["*"], SECRET_KEY="not one")
        django.setup()
    from anymail.webhooks.sparkpost import SparkPostTrackingWebhookView

    return SparkPostTrackingWebhookView.as_view()


@contextmanager
def listening() -> Iterator[list[Any]]:
    """Give a list that grows by each event that anymail tells of."""
    tracking_view()
    from anymail.signals import tracking

    events: list[Any] = []

    def listen(sender: object, event: object, esp_name: str, **_: object) -> None:
        assert esp_name == "SparkPost"
        events.append(event)

    tracking.connect(listen)
    try:
        yield events
    finally:
        tracking.disconnect(listen)


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_request(self, code: object = "-", size: object = "-") -> None:
        """Say nothing."""


@contextmanager
def served() -> Iterator[tuple[int, list[tuple[dict[str, Any], int]]]]:
    """Serve the view on loopback; give the port, and a list that grows by each request and its status."""
    view = tracking_view()
    from django.core.handlers.wsgi import WSGIRequest

    requests: list[tuple[dict[str, Any], int]] = []

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        response = view(WSGIRequest(environ))
        requests.append((environ, response.status_code))
        start_response(f"{response.status_code} {response.reason_phrase}", list(response.items()))
        return [response.content]

    with make_server("127.0.0.1", 0, application, _Server, _Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server.server_port, requests
        finally:
            server.shutdown()
            thread.join()
