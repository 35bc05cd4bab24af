"""Small template helpers: icons, the navigation, `aria-current`."""

from typing import Any

from django import template
from django.templatetags.static import static
from django.utils.html import format_html
from django.utils.safestring import SafeString

from apps.core.navigation import SECTIONS, Section

register = template.Library()


@register.simple_tag
def icon(name: str) -> SafeString:
    """An icon of the vendored sprite; decorative, so hidden from screen readers."""
    return format_html(
        '<svg class="ic" aria-hidden="true"><use href="{}#{}"></use></svg>', static("vendor/icons.svg"), name
    )


@register.simple_tag(takes_context=True)
def sections(context: dict[str, Any]) -> list[tuple[Section, bool, list[tuple[str, Any, bool]]]]:
    """The navigation as (section, is open, [(url name, title, is current)])."""
    match = context["request"].resolver_match
    here = f"{match.app_name}:{match.url_name}" if match and match.app_name else ""
    return [
        (
            section,
            match is not None and match.app_name == section.app,
            [(url, title, url == here) for url, title in section.pages],
        )
        for section in SECTIONS
    ]
