"""What comes unasked: alerts, the machine, how changes are noticed, and the morning's banner."""

from __future__ import annotations

import os
import socket
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from exptui.core.monitor.text import clean
from exptui.tui import header, present
from exptui.tui.messages import Alerted, ClusterSaid, MachineSeen, MorningCame, WatchingChanged
from exptui.tui.present import Span
from exptui.tui.widgets.detail import DetailPane
from exptui.tui.widgets.rows import RowList
from exptui.tui.widgets.text import Lines

if TYPE_CHECKING:
    from textual.screen import Screen

    from exptui.core.monitor.catalog import Snapshot
    from exptui.core.monitor.detail import Subject
    from exptui.core.monitor.machine import Machine
    from exptui.core.monitor.morning import News
    from exptui.core.workspace import Workspace

    Base = Screen[None]
else:
    Base = object

OSC_9 = "\x1b]9;{}\x07"
WORDS = {"nan": "turned NaN", "threshold": "crossed a threshold", "disk": "met a full disk"}


def knows_osc9(environ: Mapping[str, str]) -> bool:
    """Whether the terminal shows OSC 9 as a notification: only those known to; in tmux or screen none can be reached."""
    term = environ.get("TERM", "")
    if "TMUX" in environ or term.startswith(("tmux", "screen")):
        return False
    return (
        environ.get("TERM_PROGRAM") in ("iTerm.app", "WezTerm", "ghostty")
        or environ.get("LC_TERMINAL") == "iTerm2"
        or term in ("xterm-kitty", "xterm-ghostty", "wezterm")
    )


def counted(news: tuple[News, ...]) -> str:
    """`1 failed · 1 stalled · 3 finished`; they come with the worst first."""
    found = Counter(one.kind for one in news)
    return " · ".join(f"{count} {WORDS.get(kind, kind)}" for kind, count in found.items())


def banner(left: float, news: tuple[News, ...], at: int, now: float, width: int) -> list[Span]:
    """The line under the header: what there is, or the one that was gone to."""
    if at < 0:
        away = present.age(left, now)
        words, keys = f" since you left, {away} ago: {counted(news)}", "Enter to go through "
    else:
        one = news[at]
        words = f" {at + 1} of {len(news)}  {clean(one.run_id, 100)}  {WORDS.get(one.kind, one.kind)}"
        words += f": {clean(one.text, 200)}" if one.text else ""
        keys = "Enter: next " if at + 1 < len(news) else "Enter closes "
    keys = f"  Esc closes   {keys}" if width - len(keys) - len(words) > 20 else keys
    room = max(0, width - len(keys) - 1)
    words = words if len(words) <= room else f"{words[: max(0, room - 1)]}…"
    return [(f"{words:<{room}} ", "warn"), (keys, "muted")]


class Nightly(Base):
    """Mixed into the main screen, whose state these names are."""

    workspace: Workspace
    snapshot: Snapshot
    query_text: str
    wanted: str
    say: Callable[..., None]
    go: Callable[[str], None]
    subject: Subject | None
    select: Callable[..., None]
    action_pane_0: Callable[[], None]
    relist: Callable[[], None]
    begun: bool

    machine: Machine | None = None
    polling = ""
    news: tuple[News, ...] = ()
    news_at = -1  # which of the news was gone to
    left_at = 0.0

    def announce(self, text: str, *, good: bool = True) -> None:
        """A toast, the bell, and a notification where the terminal knows them."""
        self.say(text, good=good)
        self.app.bell()
        driver = self.app._driver  # noqa: SLF001  there is no other door for a control sequence
        if driver is not None and not self.app.is_headless and knows_osc9(os.environ):
            driver.write(OSC_9.format(clean(f"exptui: {text}", 200)))

    def show_header(self) -> None:
        """The line at the top."""
        spans = header.line(
            self.snapshot,
            self.machine,
            self.polling,
            self.workspace.root,
            socket.gethostname(),
            self.size.width,
            disk=self.begun,
        )
        self.query_one("#header", Lines).show([spans])

    def on_alerted(self, event: Alerted) -> None:
        """A run drew attention."""
        event.stop()
        kind = WORDS.get(event.alert.event, event.alert.event)
        self.announce(f"{event.run_id}  {kind}: {event.alert.text}", good=event.alert.event == "threshold")

    def on_machine_seen(self, event: MachineSeen) -> None:
        """What the machine does now."""
        event.stop()
        self.machine = event.machine
        self.show_header()
        self.query_one(DetailPane).show_machine(event.machine)

    def on_cluster_said(self, event: ClusterSaid) -> None:
        """Why runs wait, and where they work."""
        event.stop()
        self.query_one(DetailPane).show_words(event.words)

    def on_watching_changed(self, event: WatchingChanged) -> None:
        """How changes are noticed now."""
        event.stop()
        self.polling = event.polling
        self.show_header()

    # The morning

    def on_morning_came(self, event: MorningCame) -> None:
        """What happened since a cockpit was open last."""
        event.stop()
        self.news, self.news_at, self.left_at = event.news, -1, event.left
        self.show_banner()

    def show_banner(self) -> None:
        """The line under the header, as long as there is news."""
        self.set_class(bool(self.news), "morning")
        if self.news:
            spans = banner(self.left_at, self.news, self.news_at, present.now(), self.size.width)
            self.query_one("#banner", Lines).show([spans])

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Enter goes through the news only while there are some."""
        return bool(self.news) if action == "next_news" else super().check_action(action, parameters)

    def action_next_news(self) -> None:
        """To the next run there is news of; behind the last one the banner is gone."""
        self.news_at += 1
        if self.news_at >= len(self.news):
            self.end_news()
            return
        run_id, rows = self.news[self.news_at].run_id, self.query_one("#runs", RowList)
        if self.query_text and rows.rows.find(run_id) is None:  # the filter hides it
            self.query_text, self.wanted = "", run_id
            self.relist()
            self.go("runs")
        elif self.has_class("-narrow"):  # its detail is all there is room for
            rows.select(run_id)
            self.subject = None
            self.action_pane_0()
            self.select(again=True)
        else:
            self.go("runs")
            rows.select(run_id)
        self.show_banner()

    def end_news(self) -> None:
        """Away with the banner."""
        self.news = ()
        self.show_banner()
