"""Preload the application in the process that servers are forked from (tests/serving.py); loading is the slow part."""

from __future__ import annotations

import gc
import importlib
import pkgutil

import granian.server  # noqa: F401 - a server would load it later

import app
import config

gc.disable()  # as wsgi.py does
for package in (app, config):
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)
gc.freeze()
gc.enable()
