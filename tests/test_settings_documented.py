"""Every setting is in `.env.example` and in the handbook, with its default, and nothing else is."""

import ast
import itertools
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
READERS = {"str", "bool", "int", "float", "list", "choice", "timezone", "db_url", "redis_url"}
DEFAULTS_OF_READERS = {"timezone": "UTC", "bool": "false", "int": "0", "float": "0.0"}


def as_text(value: object) -> str:
    """A default as it would stand in `.env`."""
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(value) if isinstance(value, list) else str(value)


def settings_read() -> dict[str, str]:
    """Name -> default of every `env.<reader>("NAME", ...)` in the settings file."""
    found = {}
    for node in ast.walk(ast.parse((ROOT / "pumpsite" / "settings.py").read_text())):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in READERS):
            continue
        if isinstance(node.func.value, ast.Name) and node.func.value.id == "env":
            given = {word.arg: ast.literal_eval(word.value) for word in node.keywords if word.arg == "default"}
            default = as_text(given["default"]) if given else DEFAULTS_OF_READERS.get(node.func.attr, "")
            found[ast.literal_eval(node.args[0])] = default
    return found


def settings_of_scripts() -> set[str]:
    """What bin/services and docker-compose.yml read beside the settings file."""
    of_services = re.findall(r"\bEMB_[A-Z_]+\b", (ROOT / "bin" / "services").read_text())
    of_compose = re.findall(r"\$\{([A-Z0-9_]+):\?", (ROOT / "docker-compose.yml").read_text())
    return {*of_services, *of_compose} - set(settings_read())


def example() -> dict[str, str]:
    text = (ROOT / ".env.example").read_text()
    return dict(re.findall(r"^#?([A-Z][A-Z0-9_]+)=(.*)$", text, re.MULTILINE))


def handbook() -> dict[str, str]:
    text = (ROOT / "docs" / "handbuch" / "einstellungen.md").read_text()
    return {
        name: default.strip().strip("`")
        for name, default in re.findall(r"^\| `([A-Z][A-Z0-9_]+)` \|([^|]*)\|", text, re.MULTILINE)
    }


def test_env_example_names_every_setting_with_its_default():
    assert {name: example().get(name) for name in settings_read()} == settings_read()


def test_handbook_names_every_setting_with_its_default():
    assert {name: handbook().get(name) for name in settings_read()} == settings_read()


def test_scripts_and_compose_settings_are_named_too():
    assert settings_of_scripts() <= set(example())
    assert settings_of_scripts() <= set(handbook())


def test_neither_names_a_setting_that_nothing_reads():
    known = set(settings_read()) | settings_of_scripts()
    assert set(example()) == known
    assert set(handbook()) == known


def test_every_line_of_the_example_has_a_comment_before_it():
    lines = (ROOT / ".env.example").read_text().splitlines()
    bare = [line for before, line in itertools.pairwise(lines) if re.match(r"#?[A-Z]", line) and "# " not in before[:2]]
    assert bare == []


def test_example_holds_no_secret():
    secret = re.compile("KEY|TOKEN|PASSWORD|SECRET")
    assert {name: value for name, value in example().items() if secret.search(name) and value} == {}
