"""The application object for a WSGI server: ``wsgi:app``."""

import gc

from app import create_app
from config.settings import Settings

gc.disable()  # nearly all that is loaded here stays: looking through it for garbage took 40 % of a command's time
app = create_app(Settings.load_or_exit())
gc.freeze()
gc.enable()
