"""Converters of addresses."""

from django.urls import register_converter
from django.urls.converters import StringConverter


class MintConverter(StringConverter):
    """Anything that may be a key of a table: a NUL may not."""

    regex = r"[^/\x00]+"


register_converter(MintConverter, "mint")
