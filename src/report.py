"""python -m src.report runs=PATH [out=report.html figures=pdf table=table.md json=table.json curves=curves.csv metrics=FOLDER].

Turns run folders into one page, with films and figures in a folder beside it, and into tables of the same numbers for a README
and other programs. The same runs give the same bytes.
"""

import json
from pathlib import Path
from typing import Any

from src.config import command_line
from src.config.errors import UserError
from src.reporting.runs import find_runs
from src.reporting.tables import make_tables
from src.reporting.texts import curves, markdown, metrics_files, results
from src.system.files import write_atomic


def report(config: dict[str, Any]) -> list[Path]:
    """Write the files that the config asks for and return their paths. All are built before the first is written."""
    wanted = {kind: config[kind] and Path(config[kind]) for kind in ("out", "table", "json", "curves", "metrics")}
    if not any(wanted.values()):
        raise UserError("there is nothing to write: give out=, table=, json=, curves= or metrics=")
    given = [path.resolve() for path in wanted.values() if path]  # links are resolved: their targets are written
    if len(given) > len(set(given)):
        raise UserError("out=, table=, json=, curves= and metrics= must name different files: one would replace the other")
    if config["figures"] and not wanted["out"]:
        raise UserError("figures= are written beside the page: give out= too")
    runs = find_runs(config["runs"])
    tables = make_tables(runs, config["baseline"])

    files: dict[Path, str | bytes] = {}
    if path := wanted["out"]:
        from src.reporting.page import figure_files, film_files, page  # matplotlib: tables need not wait for it

        beside = path.with_name(f"{path.stem}_files")
        files[path] = page(tables, config["films"], beside.name)
        found = film_files(tables) if config["films"] == "beside" else {}
        found |= figure_files(tables, config["figures"]) if config["figures"] else {}
        files |= {beside / name: content for name, content in found.items()}
    if path := wanted["table"]:
        files[path] = markdown(tables)
    if path := wanted["json"]:
        files[path] = json.dumps(results(tables), indent=2, allow_nan=False) + "\n"
    if path := wanted["curves"]:
        files[path] = curves(tables)
    if folder := wanted["metrics"]:
        files |= {folder / name: text for name, text in metrics_files(tables).items()}
    for path, content in files.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(path.resolve(), content.encode() if isinstance(content, str) else content)
        except OSError as error:
            raise UserError(f"cannot write {path} ({error.strerror}): choose another path") from error
    print(f"{len(runs)} runs\n" + "\n".join(map(str, files)))
    return list(files)


def main() -> None:
    """The console command aigc-report."""
    command_line.run("report", report)


if __name__ == "__main__":
    main()
