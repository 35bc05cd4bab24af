"""Texts for translation, without GNU gettext: collects them from Python and templates into the German catalogue.

python bin/messages.py           collect, keep what is translated, compile
python bin/messages.py --check   say what is missing or out of date; status 1 if anything is
"""

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import cast

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from django.utils.translation.template import templatize

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("apps", "pumpsite", "templates")
PO = ROOT / "locale" / "de" / "LC_MESSAGES" / "django.po"
MO = PO.with_suffix(".mo")
PLURALS = "nplurals=2; plural=(n != 1);"
NO_LINE = cast(int, None)  # a place without a line number: those change too often
WITH_CONTEXT, WITH_PLURAL = ((1, "c"), 2), (1, 2)
KEYWORDS = {
    **dict.fromkeys(["gettext", "gettext_lazy", "gettext_noop", "_"], None),
    **dict.fromkeys(["ngettext", "ngettext_lazy"], WITH_PLURAL),
    **dict.fromkeys(["pgettext", "pgettext_lazy"], WITH_CONTEXT),
    **dict.fromkeys(["npgettext", "npgettext_lazy"], ((1, "c"), 2, 3)),
    "worded": None,  # apps.core.sentences
    **dict.fromkeys(["PlatformError", "NotFoundError", "ConflictError"], (2,)),  # shown by apps.core.display.error_text
}


def sources() -> Iterator[tuple[Path, str]]:
    """(file, Python text that calls gettext) of every module and template; tests have no texts."""
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            if "tests" in path.parts or "migrations" in path.parts:
                continue
            if path.suffix == ".py":
                yield path, path.read_text(encoding="utf-8")
            elif path.suffix in {".html", ".txt"}:
                # In brackets the tokenizer does not mind what the template's indentation looks like.
                yield path, f"({templatize(path.read_text(encoding='utf-8'), origin=str(path))}\n)"


def collected() -> Catalog:
    """A catalogue of every text in the sources, with the files it is in."""
    catalog = Catalog(locale="de", charset="utf-8")
    for path, text in sources():
        found = extract("python", BytesIO(text.encode()), keywords=KEYWORDS, options={"encoding": "utf-8"})
        for _line, message, _comments, context in found:
            entry = catalog.add(message, context=context, flags=_flags(message))
            entry.string = entry.string or ""
            entry.locations = sorted({*entry.locations, (str(path.relative_to(ROOT)), NO_LINE)})
    return catalog


def _flags(message: str | tuple[str, ...]) -> set[str]:
    texts = (message,) if isinstance(message, str) else message
    return {"python-format"} if any("%(" in text for text in texts) else set()


def catalogue() -> Catalog:
    """The German catalogue as it is kept."""
    if not PO.exists():
        return Catalog(locale="de", charset="utf-8")
    with PO.open("rb") as file:
        return read_po(file, locale="de")


def updated() -> Catalog:
    """The kept translations of the texts that are there now; nothing guessed."""
    kept, now = catalogue(), collected()
    for message in now:
        if message.id and (known := kept.get(message.id, message.context)) and not known.fuzzy:
            message.string = known.string
    now.header_comment = "# German texts of the platform: collected and compiled by bin/messages.py.\n#"
    return now


def as_po(catalog: Catalog) -> bytes:
    """The catalogue's text: sorted, without dates, so that it changes only with its texts."""
    lines = BytesIO()
    write_po(lines, catalog, width=100, sort_output=True, omit_header=True, ignore_obsolete=True)
    header = (
        f'{catalog.header_comment}\nmsgid ""\nmsgstr ""\n"Language: de\\n"\n"MIME-Version: 1.0\\n"\n'
        f'"Content-Type: text/plain; charset=UTF-8\\n"\n"Content-Transfer-Encoding: 8bit\\n"\n'
        f'"Plural-Forms: {PLURALS}\\n"\n\n'
    )
    return header.encode() + lines.getvalue()


def as_mo(po: bytes) -> bytes:
    """The compiled form of a catalogue's text."""
    out = BytesIO()
    catalog = read_po(BytesIO(po), locale="de")
    catalog.creation_date = catalog.revision_date = datetime(2000, 1, 1, tzinfo=UTC)
    write_mo(out, catalog)
    return out.getvalue()


def name_of(message: Message) -> str:
    return message.id if isinstance(message.id, str) else message.id[0]


def untranslated(catalog: Catalog) -> list[str]:
    """Texts without a German one (a plural needs both)."""
    return [
        name_of(message)
        for message in catalog
        if message.id and not all(message.string if isinstance(message.string, tuple) else [message.string])
    ]


def mistakes() -> list[str]:
    """What is wrong with the kept catalogue, a sentence each."""
    fresh = updated()
    wrong = [f"without a translation: {text!r}" for text in untranslated(fresh)]
    wrong += [f"fuzzy: {name_of(message)!r}" for message in catalogue() if message.id and message.fuzzy]
    for message, errors in fresh.check():
        wrong += [f"{error}: {name_of(message)!r}" for error in errors]
    if PO.read_bytes() != as_po(fresh):
        wrong.append("the catalogue does not hold exactly the texts of the sources: run bin/messages.py")
    if not MO.exists() or MO.read_bytes() != as_mo(PO.read_bytes()):
        wrong.append("django.mo is not compiled from django.po: run bin/messages.py")
    return wrong


def main() -> int:
    if "--check" in sys.argv:
        wrong = mistakes()
        print("\n".join(wrong) or "every text has its translation")
        return int(bool(wrong))
    PO.parent.mkdir(parents=True, exist_ok=True)
    fresh = updated()
    PO.write_bytes(as_po(fresh))
    MO.write_bytes(as_mo(PO.read_bytes()))
    missing = untranslated(fresh)
    print(f"{len(fresh)} texts, {len(missing)} without a translation")
    for text in missing:
        print(f"  {text!r}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
