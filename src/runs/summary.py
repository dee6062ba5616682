"""The metrics of a run as text."""

from typing import Any


def summary(result: dict[str, Any]) -> str:
    """The metrics of a metrics.json as text, each with the controls' values."""
    lines, width = [], max(22, *map(len, result["metrics"]))
    for name, value in result["metrics"].items():
        if isinstance(value, int | float):
            beside = ", ".join(
                f"{control} {short(metrics[name])}" for control, metrics in result["controls"].items() if name in metrics
            )
            lines.append(f"  {name:{width}} {short(value):>9}{f'   ({beside})' if beside else ''}")
    return "\n".join(lines)


def short(value: float) -> str:
    """Three decimals, or the form 1.2e-04 below 0.001 and from 100,000 on; integers unchanged."""
    form = "" if isinstance(value, int) else ".3f" if 0.001 <= abs(value) < 1e5 or not value else ".1e"
    return f"{value:{form}}"
