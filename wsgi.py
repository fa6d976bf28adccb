"""The application object for a WSGI server: ``wsgi:app``."""

import gc

from app import create_app
from config.problems import ConfigurationError
from config.settings import Settings

gc.disable()  # nearly all objects loaded here stay: collecting garbage took 40 % of a command's time
try:
    app = create_app(Settings.load_or_exit())
except ConfigurationError as error:
    error.exit()
gc.freeze()
gc.enable()
