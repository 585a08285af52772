"""Standing in line: first come, first served, and no longer than `max_wait`."""

import time
from collections.abc import Callable

from evalpack.errors import UserError
from evalpack.leases import claims
from evalpack.leases.claims import Claim, OwnClaim
from evalpack.leases.placement import CPU_SLOT, Placement

POLL_SECONDS = 0.05
REPORT_SECONDS = 60.0


class LeaseTimeout(UserError):
    """No devices within `max_wait`; the message says who has them and who is ahead."""


def wait(
    placement: Placement,
    claim: OwnClaim,
    holder: str,
    max_wait: float,
    log: Callable[[str], object],
) -> None:
    """Wait for our turn and for free slots; returns when `placement` holds them.

    Only the first in line tries to take anything, so narrow jobs cannot starve a wide one. On a
    machine without GPU the time does not count while a living job is in front of us or has the
    slot: an engine on a CPU can run for hours.

    Raises:
        LeaseTimeout: after `max_wait` seconds.
    """
    begun = time.monotonic()
    deadline, report = begun + max_wait, begun + POLL_SECONDS
    while True:
        ahead = next(claims.ahead_of(placement.folder, claim.name, placement.pool), None)
        if ahead is None and placement.attempt(claim):
            return
        now = time.monotonic()
        if not placement.devices and (ahead or _holders(placement)):
            deadline = now + max_wait
        if now >= deadline:
            raise LeaseTimeout(_reasons(placement, claim, holder, now - begun))
        if now >= report:
            log(_reasons(placement, claim, holder, now - begun))
            report = now + REPORT_SECONDS
        time.sleep(POLL_SECONDS)


def _holders(placement: Placement) -> list[Claim]:
    """The living claims that have some of the wanted slots."""
    folder, pool = placement.folder, set(placement.pool)
    return [
        claim
        for claim in claims.read_all(folder)
        if pool & set(claim.taken) and claims.is_alive(folder, claim)
    ]


def _reasons(placement: Placement, claim: OwnClaim, holder: str, seconds: float) -> str:
    blocked = placement.obstacles()
    if placement.devices:
        wanted = f"{placement.count} of {len(placement.devices)} GPUs"
        slots = [f"{device} {blocked.get(device.uuid, 'is free')}" for device in placement.devices]
        advice = "wait for them to end, or name other GPUs in hardware.gpus"
    else:
        wanted = "the CPU, which one engine at a time may have"
        slots = [f"it {blocked.get(CPU_SLOT, 'is free')}"]
        advice = "wait for it to end"
    line = [
        f"{other}, who wants {other.count}"
        for other in claims.ahead_of(placement.folder, claim.name, placement.pool)
    ]
    ahead = f"; ahead in line: {', '.join(line)}" if line else ""
    return f"{holder} has waited {seconds:.0f} s for {wanted}: {'; '.join(slots)}{ahead}; {advice}."
