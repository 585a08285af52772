"""How the browser tests start Chromium, and what they see of a page."""

from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import Page

QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@dataclass
class Watched:
    """A page, and what must not happen while it is open."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def open(self, path: Path) -> None:
        """Open a file, and wait until its chart is drawn."""
        self.page.goto(path.as_uri())
        self.page.wait_for_selector("#chart svg")
