"""The application that waitress serves: moto's, with keys as they were sent."""

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

_app = DomainDispatcherApplication(create_backend_app)


def app(environ: dict[str, str], start_response: object) -> object:
    # Without it, keys that hold "%" or "?" are listed under another name.
    environ.setdefault("RAW_URI", environ.get("REQUEST_URI", ""))
    return _app(environ, start_response)
