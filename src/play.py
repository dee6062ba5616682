"""python -m src.play [runs=PATH port=7860 open=false]: a page on this machine to draw with the trained models, and to judge.

filter.words= and filter.clip= leave samples out. Ctrl-C ends it. Other machines cannot reach it.
"""

from importlib.util import find_spec
from typing import Any

from src.config import command_line
from src.config.errors import UserError
from src.page.runs import Catalog

LOCAL = "127.0.0.1", "localhost", "::1"


def play(config: dict[str, Any]) -> None:
    """Show the page that a plain config describes, until Ctrl-C."""
    if not (find_spec("starlette") and find_spec("uvicorn")):
        raise UserError("the page needs Starlette and uvicorn: pip install --constraint requirements.lock --editable '.[play]'")
    if config["host"] not in LOCAL:
        raise UserError(
            f"host={config['host']}: the page has no password, so only this machine may use it: leave host= out, and from "
            f"elsewhere take  ssh -L {config['port']}:127.0.0.1:{config['port']} <this machine>"
        )
    roots = config["runs"] if isinstance(config["runs"], list) else [config["runs"]]
    catalog = Catalog(roots, config["paths"]["data"], config)
    if not catalog.find():
        raise UserError(
            f"runs={','.join(map(str, roots))}: no finished run with weights there: train one, "
            "python -m src.train model=mlp_gan, or name another folder"
        )
    from src.page.app import serve

    serve(catalog, config["host"], config["port"], config["most"], config["open"])


def main() -> None:
    """The console command aigc-play."""
    command_line.run("play", play, nullable=("paths.data",))


if __name__ == "__main__":
    main()
