"""The application object for a WSGI server: ``wsgi:app``."""

from app import create_app
from config.settings import Settings

app = create_app(Settings.load_or_exit())
