"""The page's addresses. One request at a time uses a model; the others wait in order."""

import contextlib
import json
import logging
import socket
import sys
import tempfile
import threading
import webbrowser
import zipfile
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict
from io import BytesIO
from pathlib import Path
from types import FrameType
from typing import Any

import anyio
import anyio.to_thread
import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from src.config.errors import UserError
from src.page import review
from src.page.command import generate_command
from src.page.panels.panel import LoadedRun, Tab, panel_of
from src.page.real import NoRealData
from src.page.runs import Catalog, NoSuchRun
from src.page.security import SameOrigin
from src.runs.review import marks

STATIC = Path(__file__).parent / "static"
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".json": "application/json"}


class Page:
    """most: samples in one request at most."""

    def __init__(self, catalog: Catalog, most: int) -> None:
        self.catalog, self.most = catalog, most
        self.blind = review.BlindTest(catalog.data)
        self.files = {path.name: path for path in STATIC.iterdir() if path.suffix in TYPES}  # nothing else is served from there
        self.turn = anyio.CapacityLimiter(1)

    def app(self) -> Starlette:
        reads = {"": self.describe, "/film": self.film, "/picture": self.picture, "/pairs": self.pairs, "/marks": self.marks}
        writes = {"draw": self.draw, "save": self.save, "mark": self.mark, "answer": self.answer}
        writes |= {"kept": self.kept, "export": self.export, "blind": self.ask}
        return Starlette(
            routes=[
                Route("/", self.static_file),
                Route("/static/{name}", self.static_file),
                Route("/runs", self.runs),
                *(Route(f"/runs/{{id}}{end}", answer) for end, answer in reads.items()),
                *(Route(f"/runs/{{id}}/{end}", answer, methods=["POST"]) for end, answer in writes.items()),
            ],
            middleware=[Middleware(SameOrigin)],
            exception_handlers={NoSuchRun: not_found, UserError: user_error},
            lifespan=self.lifespan,
        )

    @contextlib.asynccontextmanager
    async def lifespan(self, _: Starlette) -> AsyncIterator[None]:
        """Load the first model while the browser starts: importing torch takes seconds."""

        def load_first() -> None:
            with contextlib.suppress(UserError):  # the page shows it when the run is chosen
                self.catalog.load(self.catalog.find()[0].id)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.work, load_first)
            yield

    async def work(self, task: Callable[[], Any]) -> Any:
        return await anyio.to_thread.run_sync(task, limiter=self.turn)

    async def static_file(self, request: Request) -> Response:
        name = request.path_params.get("name", "page.html")
        if name not in self.files:
            return not_found()
        path = self.files[name]
        return FileResponse(path, media_type=TYPES[path.suffix])

    # Reading

    async def runs(self, _: Request) -> Response:
        return JSONResponse([entry.record() for entry in self.catalog.find()])

    async def describe(self, request: Request) -> Response:
        entry = self.catalog.entry(request.path_params["id"])

        def tabs() -> dict[str, Any]:
            run = self.catalog.load(entry.id)
            found = {name: tab.record() for name, tab in self.tabs(run).items()}
            return {"tabs": found, "step": run.model.step, "writable": review.writable(entry), "most": self.most}

        return JSONResponse({**entry.record(), **await self.work(tabs)})

    async def film(self, request: Request) -> Response:
        return picture_file(self.catalog.entry(request.path_params["id"]).film)

    async def picture(self, request: Request) -> Response:
        return picture_file(self.catalog.entry(request.path_params["id"]).picture)

    async def pairs(self, request: Request) -> Response:
        return picture_file(self.catalog.entry(request.path_params["id"]).pairs)

    async def marks(self, request: Request) -> Response:
        entry = self.catalog.entry(request.path_params["id"])
        return JSONResponse({"marks": [found._asdict() for found in marks(entry.folder.path)], "hits": review.hits(entry)})

    # Drawing

    async def draw(self, request: Request) -> Response:
        id, asked = request.path_params["id"], await body(request)

        def task() -> dict[str, Any]:
            run, tab, settings = self.asked(id, asked)
            drawn = panel_of(run).draw(run, asked["tab"], settings)
            return asdict(drawn) | {"command": generate_command(run, tab, settings, self.catalog.filtered)}

        return JSONResponse(await self.work(task))

    async def save(self, request: Request) -> Response:
        id, asked = request.path_params["id"], await body(request)

        def task(folder: Path) -> None:
            run, _, settings = self.asked(id, asked)
            panel_of(run).save(run, asked["tab"], settings, folder)

        return await self.archive(task)

    def tabs(self, run: LoadedRun) -> dict[str, Tab]:
        """The tabs of a run; with filters, those that show nothing unjudged."""
        found: dict[str, Tab] = panel_of(run).tabs(run, self.most)
        return {name: tab for name, tab in found.items() if tab.filtered or not run.judges}

    def asked(self, id: str, asked: dict[str, Any]) -> tuple[Any, Tab, dict[str, Any]]:
        """(run, tab, checked settings) of a request."""
        run = self.catalog.load(id)
        tabs = self.tabs(run)
        name = asked.get("tab")
        tab = tabs.get(name) if isinstance(name, str) else None
        if tab is None:
            raise UserError(f"{run.name} has no such panel: it has {', '.join(tabs)}")
        return run, tab, tab.read(asked.get("settings", {}))

    async def archive(self, write: Callable[[Path], None]) -> Response:
        """What `write` writes into a folder, as a ZIP file."""

        def task() -> bytes:
            buffer = BytesIO()
            with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
                write(Path(folder))
                for path in sorted(path for path in Path(folder).rglob("*") if path.is_file()):
                    archive.write(path, path.relative_to(folder))
            return buffer.getvalue()

        return Response(await self.work(task), media_type="application/zip")

    # Judging

    async def mark(self, request: Request) -> Response:
        id, asked = request.path_params["id"], await body(request)

        def task() -> None:
            _, tab, checked = self.asked(id, asked)
            if not tab.judged:
                raise UserError("only samples can be kept or rejected")
            own = {name: value for name, value in checked.items() if name != "n" and value is not None}
            review.mark(self.catalog.entry(id), own, asked.get("mark", ""), asked.get("note", ""))

        await self.work(task)
        return JSONResponse({})

    async def kept(self, request: Request) -> Response:
        entry = self.catalog.entry(request.path_params["id"])
        kept = await self.work(lambda: review.kept_items(entry, self.catalog.load(entry.id), self.most))
        return JSONResponse(asdict(kept))

    async def export(self, request: Request) -> Response:
        entry = self.catalog.entry(request.path_params["id"])
        return await self.archive(lambda folder: review.export_kept(entry, self.catalog.load(entry.id), self.most, folder))

    async def ask(self, request: Request) -> Response:
        entry = self.catalog.entry(request.path_params["id"])
        try:
            token, item = await self.work(lambda: self.blind.ask(entry, self.catalog.load(entry.id)))
        except NoRealData as error:  # by name, so that the page says it in its language
            return JSONResponse({"missing": error.name})
        return JSONResponse({"token": token, "item": asdict(item)})

    async def answer(self, request: Request) -> Response:
        entry, asked = self.catalog.entry(request.path_params["id"]), await body(request)
        generated = self.blind.answer(entry, asked.get("token"), asked.get("answer"))
        return JSONResponse({"generated": generated, "hits": review.hits(entry)})


async def body(request: Request) -> dict[str, Any]:
    try:
        found = json.loads(await request.body())
        json.dumps(found, ensure_ascii=False).encode()  # ValueError for half of a surrogate pair, which no answer could repeat
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise UserError("the request is no JSON object")
    return found


def picture_file(path: Path | None) -> Response:
    return FileResponse(path) if path else not_found()


def user_error(_: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, status_code=400)


def not_found(*_: Any) -> Response:
    return JSONResponse({"error": "there is no such run or file"}, status_code=404)


class Server(uvicorn.Server):
    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # requests that Ctrl-C cuts off are no errors
        super().handle_exit(sig, frame)


def serve(catalog: Catalog, host: str, port: int, most: int, browser: bool) -> None:
    """Answer until Ctrl-C. UserError if the port is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((host, port))
            listening.listen()  # now, so that a browser that is quicker than uvicorn waits
        except OSError as error:
            raise UserError(f"port={port} cannot be used ({error.strerror}): take another, or 0 for any free one") from error
        shown = f"[{host}]" if ":" in host else host
        address = f"http://{shown}:{listening.getsockname()[1]}"
        print(f"{address} (Ctrl-C ends it)", flush=True)
        if browser:
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
        config = uvicorn.Config(Page(catalog, most).app(), log_level="warning", access_log=False, server_header=False)
        config.timeout_graceful_shutdown = 2
        with contextlib.suppress(KeyboardInterrupt):
            Server(config).run(sockets=[listening])
        print("ended", file=sys.stderr)
