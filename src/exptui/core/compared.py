"""What people say of runs, how runs compare, and what is sent to others: nothing here starts or moves one."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import structs

from exptui.core import notes
from exptui.core.contents import Contents
from exptui.core.errors import CorruptError, UsageError
from exptui.core.files import read_json, sha256_bytes, storage_errors, write_atomic
from exptui.core.runs.run import directory_of, stem_of

if TYPE_CHECKING:
    from exptui.core.audit.statement import Seen, Statement
    from exptui.core.compare.comparison import Comparison
    from exptui.core.compare.sides import Side
    from exptui.core.monitor.metrics import Metrics
    from exptui.core.page.subject import Subject

NAME = 200  # bytes of a file name


class Compared(Contents):
    """The verbs of `notes.json`, of the comparison, and of what is shared."""

    def pin(self, run_id: str) -> None:
        """Make a run the baseline; the one that is it already is unpinned."""
        with notes.changing(self.root) as now:
            now.baseline = "" if now.baseline == run_id else run_id

    def tag(self, names: Sequence[str], tag: str, *, remove: bool = False) -> list[str]:
        """Give runs or archives a tag, or take it from them; returns their ids.

        Raises:
            UsageError: no such run, or a tag with a space or a control character.
        """
        if not tag.isprintable() or not tag or any(map(str.isspace, tag)):
            raise UsageError(f"{tag!r} cannot be a tag", "Use one word, as: exptui tag RUN keep")
        found = [self.known(name) for name in names]
        with notes.changing(self.root) as now:
            for run_id in found:
                has = [one for one in now.tags.get(run_id, ()) if one != tag]
                now.tags[run_id] = tuple(has if remove else [*has, tag])
        return found

    def note(self, name: str, text: str) -> str:
        """Note something of a run or an archive, in place of what was noted; returns its id."""
        run_id = self.known(name)
        with notes.changing(self.root) as now:
            now.notes[run_id] = text
        return run_id

    def known(self, name: str) -> str:
        """The id of a run, or of an archive, given as `show` takes it.

        Raises:
            UsageError: there is no such thing.
        """
        try:
            return self.show(name).run_id
        except UsageError as error:
            try:
                return self.archived(name).name.removesuffix(".tar.gz")
            except UsageError:
                raise error from None

    def compare(
        self,
        names: Sequence[str],
        numbers: Callable[[Path], Metrics] | None = None,
        *,
        at: float | None = None,
    ) -> Comparison:
        """What differs between runs or archives, the first being the baseline; `at`: metrics at this step, too.

        `numbers` reads the metrics of a run's directory.

        Raises:
            UsageError: no such run, or fewer than two.
        """
        from exptui.core.compare.comparison import compare

        ids = list(dict.fromkeys(map(self.known, names)))
        if len(ids) < 2:
            raise UsageError(f"{ids[0]} alone is no comparison", "Name another run: exptui ls")
        return compare([self._side(run_id, numbers) for run_id in ids], self.settings.metrics, at)

    def compare_logs(self, baseline: str, candidate: str) -> list[str]:
        """How the ends of the logs of two runs in `results/` differ, as `diff -u` writes it."""
        from exptui.core.compare.logs import difference

        one, other = (self.show(name).files / "trainer.log" for name in (baseline, candidate))
        return difference(one, other)

    def _side(self, run_id: str, numbers: Callable[[Path], Metrics] | None) -> Side:
        from exptui.core.compare import sides

        if (place := directory_of(self.results, run_id)).is_dir():
            view = self.view(place)
            return sides.of_run(view, self._seed_key(view.stem), numbers or sides.NUMBERS)
        return sides.of_archive(self.archived(run_id), self._seed_key(stem_of(run_id)))

    def _seed_key(self, stem: str) -> str:
        return self.settings.trainer_for(f"{stem}.toml").seed_key

    def write_comparison(self, comparison: Comparison) -> Path:
        """Write `results/comparisons/<baseline>_vs_<candidate>.md`, replacing an older one of the same runs."""
        from exptui.core.compare.report import markdown

        return self._write(comparison.runs, ".md", markdown(comparison))

    def write_report(self, names: Sequence[str], path: Path | None = None) -> Path:
        """Write one run, or several side by side, as an HTML file of its own; without a path beside the comparisons.

        Raises:
            UsageError: no such run.
        """
        from exptui.core.compare.comparison import compare
        from exptui.core.page.document import document

        ids = list(dict.fromkeys(map(self.known, names)))
        subjects = [self._subject(run_id) for run_id in ids]
        found = compare([subject.side for subject in subjects], self.settings.metrics)
        return self._write(ids, ".html", document(subjects, found, self.settings.metrics), path)

    def write_verdict(self, name: str, path: Path) -> Statement:
        """Sign the newest verdict of an archive and write it to a file; `name` as `verify` took it.

        Raises:
            UsageError: it was not verified here, or not as an archive.
        """
        from exptui.core.audit import exchange

        run_id = Path(name).name.removesuffix(".tar.gz")
        reports = self.audits(run_id) or self.audits(run_id := self.known(name))
        if not reports:
            raise UsageError(f"{run_id} was not verified here", f"Do it first: exptui verify {name}")
        return exchange.write(reports[0], path)

    def add_verdict(self, path: Path) -> tuple[Seen, bool]:
        """Keep a verdict somebody sent beside its archive; returns it, and whether it is new.

        Raises:
            CorruptError, ArchiveError: it is refused, and nothing was changed.
        """
        from exptui.core.audit import exchange

        run_id = exchange.read(path)[1].run_id
        return exchange.add(path, self.archives, self.verdicts(run_id)[0])

    def _subject(self, run_id: str) -> Subject:
        """A run as the report tells of it."""
        from exptui.core.archive.listing import MANIFEST, beside, card_of
        from exptui.core.page import subject

        side, (verdicts, problems) = self._side(run_id, None), self.verdicts(run_id)
        side, seen = structs.replace(side, problems=(*side.problems, *problems)), tuple(verdicts)
        if (place := directory_of(self.results, run_id)).is_dir():
            return subject.of_run(side, self.view(place), seen)
        path = self.archived(run_id)
        try:
            about = read_json(beside(self.archives, run_id, MANIFEST), dict[str, Any])
        except (OSError, CorruptError):  # the side says so
            about = {}
        return subject.of_archive(side, about, card_of(path) or {}, self.identity(run_id), seen)

    def _write(self, runs: Sequence[str], suffix: str, text: str, path: Path | None = None) -> Path:
        """A page about these runs; without a path in `results/comparisons/`, replacing an older one."""
        with storage_errors("write the page"):
            if path is None:
                first, *others = (one.strip("./").replace("/", "_") if "/" in one else one for one in runs)
                name = "_vs_".join((first, *others))
                if len(os.fsencode(name)) > NAME:
                    digest = sha256_bytes(os.fsencode("\n".join(runs)))[:8]
                    name = f"{first}_vs_{len(others)}_others_{digest}"
                (self.results / "comparisons").mkdir(parents=True, exist_ok=True)
                path = self.results / "comparisons" / f"{name}{suffix}"
            write_atomic(path, text.encode())
        return path
