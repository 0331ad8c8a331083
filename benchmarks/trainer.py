"""The trainer of the live measurements: prints lines at a rate, and marker lines whose moments it writes down.

Alone it imports nothing of this package, as a run's environment is clean. With --marks each tenth of a second is one
burst of RATE / 10 lines within 20 ms, the last of which is the marker: it stands until the next burst, so that whoever
follows the end of the log within 80 ms has shown every marker.
"""

import argparse
import json
import sys
import time
from pathlib import Path

PERIOD, SLICES, APART = 0.1, 10, 0.002


def main() -> None:
    """Wait for the word to go, print, stay a while."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rate", type=float, default=1.0)
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--stay", type=float, default=0.0, help="seconds to live on after the last line")
    parser.add_argument("--go", type=Path, help="begin when this file is there")
    parser.add_argument("--marks", type=Path, help="where the moments of the markers go")
    parser.add_argument("--metrics", type=Path, help="a directory for metrics.jsonl, a row every tenth line")
    parser.add_argument("--fail", action="store_true", help="end with a traceback")
    given, _ = parser.parse_known_args()
    print("ready", flush=True)
    while given.go and not given.go.exists():
        time.sleep(0.01)
    if given.marks:
        marks = bursts(round(given.rate), given.seconds)
        given.marks.write_text(json.dumps(marks))
    else:
        steady(given.rate, given.seconds, given.metrics)
    time.sleep(given.stay)
    if given.fail:
        raise SystemExit("RuntimeError: the loss is not finite")


def lines(first: int, count: int) -> bytes:
    """As trainers print them, all different."""
    line = "2026-01-01T00:00:00Z INFO step %d loss 0.%06d lr 0.0003\n"
    return "".join(line % (step, step * 7919 % 1_000_000) for step in range(first, first + count)).encode()


def bursts(rate: int, seconds: float) -> dict[str, float]:
    """The moment just before the last write of each burst, by its marker."""
    marks: dict[str, float] = {}
    size, begun = rate // 10 // SLICES, time.monotonic()
    for number in range(round(seconds / PERIOD)):
        blocks = [lines((number * SLICES + part) * size, size) for part in range(SLICES)]
        marker = f"mark{number:04d}mark"
        blocks[-1] += f"{marker}\n".encode()
        for part, block in enumerate(blocks):
            sleep_until(begun + number * PERIOD + part * APART)
            now = time.monotonic()
            sys.stdout.buffer.write(block)
            sys.stdout.buffer.flush()
        marks[marker] = now
    return marks


def steady(rate: float, seconds: float, metrics: Path | None) -> None:
    """One line at a time, or 20 portions a second."""
    portion = max(1, round(rate / 20))
    begun, printed = time.monotonic(), 0
    while printed < rate * seconds:
        sleep_until(begun + printed / rate)
        sys.stdout.buffer.write(lines(printed, portion))
        sys.stdout.buffer.flush()
        printed += portion
        if metrics and printed // 10 != (printed - portion) // 10:
            with (metrics / "metrics.jsonl").open("a") as file:
                file.write(
                    json.dumps({"step": printed, "loss": 1 / printed, "accuracy": 1 - 1 / printed}) + "\n"
                )


def sleep_until(moment: float) -> None:
    """Not at all when it is past."""
    time.sleep(max(0.0, moment - time.monotonic()))


if __name__ == "__main__":
    main()
