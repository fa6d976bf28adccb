"""Loads the application, in a process from which servers are forked (tests/serving.py): loading takes them longest."""

from __future__ import annotations

import gc
import importlib
import pkgutil

import granian.server  # noqa: F401 - what a server loads late

import app
import config

gc.disable()  # as wsgi.py does
for package in (app, config):
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)
gc.freeze()
gc.enable()
