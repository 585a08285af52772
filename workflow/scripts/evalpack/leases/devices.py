"""Which of the machine's GPUs a job may use: CUDA_VISIBLE_DEVICES and `hardware.gpus`."""

from collections.abc import Sequence

from evalpack.errors import UserError
from evalpack.leases.nvml import Device

VISIBLE = "CUDA_VISIBLE_DEVICES"
HARDWARE = "hardware.gpus"

Allowed = int | Sequence[int | str] | None


def usable(devices: Sequence[Device], visible: str | None, allowed: Allowed) -> tuple[Device, ...]:
    """The GPUs that a job may use, in NVML's order.

    Args:
        devices: all of the machine.
        visible: the value of CUDA_VISIBLE_DEVICES, None if it is not set. Its entries are indices,
            UUIDs or the beginnings of UUIDs. An index counts in NVML's (PCI) order, as CUDA does
            with CUDA_DEVICE_ORDER=PCI_BUS_ID. The empty string and `-1` hide every GPU.
        allowed: `hardware.gpus`: the first so many of the visible ones, or a list of indices and
            UUIDs, of which those count that are visible.

    Returns:
        An empty tuple where there is no GPU, or none is wanted: the CPU is the slot then.

    Raises:
        UserError: an entry that names no GPU, or more than one, or one twice.
    """
    if not devices:
        return ()
    seen = tuple(devices) if visible is None else _visible(devices, visible)
    if allowed is None:
        return seen
    if isinstance(allowed, int):
        return seen[:allowed]
    wanted = _named(devices, [str(entry) for entry in allowed], HARDWARE)
    both = tuple(device for device in seen if device in wanted)
    if seen and wanted and not both:
        raise UserError(
            f"No GPU is both in {HARDWARE} ({_list(wanted)}) and in {VISIBLE} ({_list(seen)}); "
            f"change {HARDWARE} in the config, or remove it and leave the choice to {VISIBLE}."
        )
    return both


def _visible(devices: Sequence[Device], value: str) -> tuple[Device, ...]:
    if value.strip() in {"", "-1"}:
        return ()
    if value.strip() == "NoDevFiles":
        raise UserError(
            f"{VISIBLE} is NoDevFiles, which is how SLURM says that this job was given no GPU; "
            "ask for one (`--gpus=1`), or set it to the empty string to run without a GPU."
        )
    return _named(devices, value.split(","), VISIBLE)


def _named(devices: Sequence[Device], entries: Sequence[str], source: str) -> tuple[Device, ...]:
    named = [_find(devices, entry.strip(), source) for entry in entries]
    for device in named:
        if named.count(device) > 1:
            raise UserError(f"{source} names {device} twice; name each GPU once.")
    return tuple(sorted(named, key=lambda device: device.index))


def _find(devices: Sequence[Device], entry: str, source: str) -> Device:
    if entry.startswith("MIG-"):
        raise UserError(
            f"{source} names the MIG slice {entry}, and evalpack leases whole GPUs only; name a "
            "GPU, or switch MIG off on it."
        )
    if entry.isdigit():
        found = [device for device in devices if device.index == int(entry)]
    else:
        found = [device for device in devices if entry and device.uuid.startswith(entry)]
    if len(found) == 1:
        return found[0]
    problem = f"fits {_list(found)}" if found else "is no GPU of this machine"
    raise UserError(f"{source}: {entry!r} {problem}; this machine has {_list(devices)}.")


def _list(devices: Sequence[Device]) -> str:
    return ", ".join(str(device) for device in devices)
