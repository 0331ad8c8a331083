"""The chronicle (`.cmeta`, version 1): what a run computed, cycle by cycle, comparable bit for bit.

Public: any Python trainer may write one. Only the standard library is needed.
"""

from exptui.chronicle.follow import Follower
from exptui.chronicle.mismatch import Mismatch, first_mismatch
from exptui.chronicle.reader import decode, read, read_for
from exptui.chronicle.records import SEALED_NAME as NAME
from exptui.chronicle.records import Checkpoint, Chronicle, CycleRecord, Phase, Status, crc64, exact_digest
from exptui.chronicle.writer import Writer
from exptui.core.errors import CorruptError

__all__ = [
    "NAME",
    "Checkpoint",
    "Chronicle",
    "CorruptError",
    "CycleRecord",
    "Follower",
    "Mismatch",
    "Phase",
    "Status",
    "Writer",
    "crc64",
    "decode",
    "exact_digest",
    "first_mismatch",
    "read",
    "read_for",
]
