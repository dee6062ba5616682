"""Energy use of a machine's processors, from their hardware counters."""

from pathlib import Path

POWERCAP = Path("/sys/class/powercap")


class PackageCounters:
    """RAPL counters of the processor packages, in /sys/class/powercap on Linux; those of AMD have the same name.

    They count all processes of the machine, but no GPU and, on most machines, no memory. On most systems only root can read
    them (CVE-2020-8694). Virtual machines have none.
    """

    def __init__(self, root: Path = POWERCAP) -> None:
        self._packages = [folder for folder in root.glob("intel-rapl:*") if _text(folder / "name").startswith("package-")]
        self._last = self._read()

    def joules(self) -> float | None:
        """Joules used by all packages since the last call, at first since construction; None if they cannot be read.

        Call it every few minutes: a counter wraps around at `max_energy_range_uj`, often 262 kJ, which is an hour at 73 W.
        """
        before, self._last = self._last, self._read()
        if not self._last or self._last.keys() != before.keys():
            return None
        used = 0
        for folder, now in self._last.items():
            over = 0 if now >= before[folder] else int(_text(folder / "max_energy_range_uj"))
            used += now - before[folder] + over
        return used / 1e6

    def _read(self) -> dict[Path, int]:
        """Microjoules of each package; empty if any of them cannot be read."""
        values = {folder: _text(folder / "energy_uj") for folder in self._packages}
        return {folder: int(value) for folder, value in values.items()} if all(values.values()) else {}


def _text(path: Path) -> str:
    """The text of a system file; empty if it is missing or not readable."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""
