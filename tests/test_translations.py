"""The German interface is complete and what is compiled is what is written."""

import importlib.util
import re
from types import ModuleType

import pytest

from tests.servers import ROOT

PLACEHOLDER = re.compile(r"%\((\w+)\)[sd]|%[sd]|\{(\w*)\}")


@pytest.fixture(scope="module")
def messages() -> ModuleType:
    """bin/messages.py as a module."""
    spec = importlib.util.spec_from_file_location("messages", ROOT / "bin" / "messages.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def texts(value: object) -> list[str]:
    return [value] if isinstance(value, str) else list(value or [])  # type: ignore[call-overload]


def test_every_text_has_a_german_one_that_is_compiled(messages: ModuleType):
    assert messages.mistakes() == []


def test_placeholders_are_the_same_in_both_languages(messages: ModuleType):
    for message in messages.catalogue():
        wanted = {found.group() for text in texts(message.id) for found in PLACEHOLDER.finditer(text)}
        for translated in texts(message.string):
            if message.id and translated:
                got = {found.group() for found in PLACEHOLDER.finditer(translated)}
                assert got <= wanted and (wanted <= got or len(texts(message.id)) > 1), message.id


def test_texts_begin_and_end_alike(messages: ModuleType):
    for message in messages.catalogue():
        for source, translated in zip(texts(message.id), texts(message.string), strict=False):
            assert source[:1].isspace() == translated[:1].isspace(), source
            assert source.rstrip()[-1:] in {".", ":"} or translated.rstrip()[-1:] != ".", source
