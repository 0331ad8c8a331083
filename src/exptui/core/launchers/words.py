"""Slurm's states and reasons in plain words; see squeue(1), JOB STATE CODES and JOB REASON CODES."""

from __future__ import annotations

ENDED = {
    "BOOT_FAIL": "its node could not be started",
    "CANCELLED": "cancelled in Slurm",
    "COMPLETED": "Slurm says it completed, but the run wrote no end",
    "DEADLINE": "its deadline passed",
    "FAILED": "the job failed before the run could begin",
    "NODE_FAIL": "its node failed",
    "OUT_OF_MEMORY": "it took more memory than the job was given",
    "PREEMPTED": "it had to make room for another job",
    "REVOKED": "it was taken to another cluster",
    "TIMEOUT": "the time limit was reached",
}
"""States after which a job does nothing more."""

STATES = {
    "COMPLETING": "is ending",
    "CONFIGURING": "waits for its node to be ready",
    "REQUEUED": "goes back into the queue",
    "REQUEUE_FED": "goes back into the queue",
    "REQUEUE_HOLD": "is held after a failure",
    "RESIZING": "changes its size",
    "RUNNING": "runs",
    "SIGNALING": "is being signalled",
    "SPECIAL_EXIT": "is held after a failure",
    "STAGE_OUT": "is putting its files away",
    "STOPPED": "is stopped",
    "SUSPENDED": "is suspended",
}

REASONS = {
    "BeginTime": "its time to begin has not come",
    "Dependency": "another job has to end first",
    "JobArrayTaskLimit": "as many runs of its grid are at work as may be at once",
    "JobHeldAdmin": "held by an administrator",
    "JobHeldUser": "held by its user",
    "Licenses": "no licence is free",
    "NodeDown": "a node it needs is down",
    "None": "",
    "Priority": "others come first",
    "Prolog": "its node is being prepared",
    "QOSMaxCpuPerUserLimit": "you use as many CPUs as you may",
    "QOSMaxJobsPerUserLimit": "you run as many jobs as you may",
    "ReqNodeNotAvail": "a node it needs is not available",
    "Reservation": "its reservation has not begun",
    "Resources": "no room yet",
}

NEVER = {
    "AccountNotAllowed": "the account may not use this partition",
    "BadConstraints": "no node is as it asks for",
    "DependencyNeverSatisfied": "the job it waits for failed",
    "InvalidAccount": "there is no such account",
    "InvalidQOS": "there is no such quality of service",
    "PartitionConfig": "the partition does not allow what it asks for",
    "PartitionDown": "the partition is down",
    "PartitionInactive": "the partition is not active",
    "PartitionNodeLimit": "it asks for more nodes than the partition gives",
    "PartitionTimeLimit": "it asks for more time than the partition gives",
    "launch failed requeued held": "it could not be launched, and is held",
}
"""Reasons that do not pass by waiting."""


def say(state: str, reason: str, node: str = "") -> str:
    """One line on a job: what it does, where, and why it waits."""
    if state != "PENDING":
        if state in ENDED:
            return f"{ENDED[state]} ({node})" if node else ENDED[state]
        return f"{STATES.get(state) or state.lower()}{f' on {node}' if node else ''}"
    plain = reason.split(",", maxsplit=1)[0].strip()  # "ReqNodeNotAvail, UnavailableNodes:n1"
    plain = plain.replace("_", " ") if plain not in REASONS and plain not in NEVER else plain
    if plain in NEVER:
        return f"will not start: {NEVER[plain]} ({plain})"
    if plain.startswith(("Assoc", "QOS")) and plain not in REASONS:
        return f"waits: a limit of your account ({plain})"
    known = REASONS.get(plain, plain)
    return f"waits: {known}" if known else "waits"
