"""What the side menu lists."""

from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

Title = str | Promise


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the platform: its app, icon, title and pages as (url name, title); the first page is its overview."""

    app: str
    icon: str
    title: Title
    pages: tuple[tuple[str, Title], ...]

    @property
    def home(self) -> str:
        return self.pages[0][0]


SECTIONS = (
    Section(
        "discovery",
        "radio",
        _("Discovery"),
        (
            ("discovery:overview", _("Overview")),
            ("discovery:streams", _("Streams")),
            ("discovery:phases", _("Phases")),
            ("discovery:export", _("Export")),
            ("discovery:feed", _("Feed")),
            ("discovery:settings", _("Settings")),
        ),
    ),
    Section(
        "training",
        "brain",
        _("Training"),
        (
            ("training:overview", _("Models")),
            ("training:new", _("New model")),
            ("training:jobs", _("Jobs")),
            ("training:tests", _("Tests")),
            ("training:comparisons", _("Comparisons")),
            ("training:features", _("Features")),
        ),
    ),
    Section(
        "predictions",
        "bell",
        _("Predictions"),
        (
            ("predictions:overview", _("Active models")),
            ("predictions:alerts", _("Alerts")),
            ("predictions:log", _("Log")),
            ("predictions:statistics", _("Statistics")),
            ("predictions:import", _("Put to work")),
            ("predictions:webhooks", _("Webhooks")),
        ),
    ),
    Section(
        "trading",
        "wallet",
        _("Trading"),
        (
            ("trading:overview", _("Overview")),
            ("trading:wallets", _("Wallets")),
            ("trading:strategies", _("Strategies")),
            ("trading:positions", _("Positions")),
            ("trading:trades", _("Trades")),
            ("trading:backtests", _("Backtests")),
            ("trading:risk", _("Risk")),
            ("trading:transfers", _("Transfers")),
            ("trading:order", _("Manual order")),
            ("trading:against", _("Paper against live")),
            ("trading:real", _("Real money")),
        ),
    ),
)
