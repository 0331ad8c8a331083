"""Untrusted text made harmless before anything shows it: no byte of it can command a terminal."""

from __future__ import annotations

CAP = 4096
_TABLE = {
    **{code: 0x2400 + code for code in range(0x20)},
    0x7F: 0x2421,
    **dict.fromkeys(range(0x80, 0xA0), 0xFFFD),
    **dict.fromkeys((0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)), 0xFFFD),
    **dict.fromkeys(range(0xD800, 0xE000), 0xFFFD),
}
del _TABLE[0x09]


def clean(text: str | bytes, cap: int = CAP) -> str:
    """Printable text of at most `cap` characters.

    C0 controls become their pictures (U+2400…), DEL U+2421; C1, bidirectional controls and lone surrogates U+FFFD;
    a tab becomes a space; what is cut off is said.
    """
    if isinstance(text, bytes):
        text = text.decode(errors="replace")
    shown = text[:cap].replace("\t", " ").translate(_TABLE)
    return f"{shown}… (+{len(text) - cap:,})" if len(text) > cap else shown


def clean_line(line: bytes, cap: int = CAP) -> str:
    """One line of a log; of a progress bar redrawn with carriage returns only its last state."""
    states = [part for part in line.rstrip(b"\r\n").split(b"\r") if part]
    return clean(states[-1] if states else b"", cap)
