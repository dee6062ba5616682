"""The energy that a machine's processors have used, as their own counters tell it."""

from pathlib import Path

POWERCAP = Path("/sys/class/powercap")


class PackageCounters:
    """RAPL's counters of the processor packages, which Linux shows under /sys/class/powercap, those of AMD by the same name.

    They count everything that runs on the machine, and neither GPUs nor, on most machines, memory. Most systems let root alone
    read them (CVE-2020-8694), and virtual machines have none.
    """

    def __init__(self, root: Path = POWERCAP) -> None:
        self._packages = [folder for folder in root.glob("intel-rapl:*") if _text(folder / "name").startswith("package-")]
        self._last = self._read()

    def joules(self) -> float | None:
        """Of all packages since the last call, or since the beginning; None where nothing can be read.

        To be called every few minutes: a counter begins again at its `max_energy_range_uj`, often 262 kJ, an hour at 73 W.
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
        """Microjoules of each package; none where one cannot be read."""
        values = {folder: _text(folder / "energy_uj") for folder in self._packages}
        return {folder: int(value) for folder, value in values.items()} if all(values.values()) else {}


def _text(path: Path) -> str:
    """What a file of the system says; nothing where it is not there or not for us."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""
