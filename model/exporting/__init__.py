"""Exports of trained networks, for use without this project: written, compared with the run, and described.

>>> from model.exporting.request import FORMATS, load_format
>>> from runtime import plugins
>>> [(name, load_format(name).FILE) for name in plugins.choices(FORMATS)][:2]
[('keras', 'model.keras'), ('litert', 'model.tflite')]
"""
