"""Servers on this machine: an object store that speaks S3, and a web server that sends ranges of files."""

import logging
import re
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from pyarrow import fs
from werkzeug.serving import make_server


class Store:
    """Moto's S3, in which calls can be made to fail."""

    def __init__(self) -> None:
        self._app = DomainDispatcherApplication(create_backend_app)
        self.fails: tuple[str, str, str] | None = None
        """Methods and part of the URL of the calls to refuse, and the code to refuse them with."""
        self.calls: list[tuple[str, str]] = []
        """Methods and URLs of the calls so far."""
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True)
        self._server.log = lambda *_: None  # type: ignore[method-assign]
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self.endpoint = f"http://127.0.0.1:{self._server.port}"
        Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        self.options = {
            "aws_access_key_id": "somebody",
            "aws_secret_access_key": "hunter2",
            "aws_region": "us-east-1",
            "aws_endpoint_url": self.endpoint,
        }
        self.files = fs.S3FileSystem(
            access_key="somebody",
            secret_key="hunter2",
            region="us-east-1",
            scheme="http",
            endpoint_override=self.endpoint.removeprefix("http://"),
            allow_bucket_creation=True,
        )

    def _answer(self, environ: dict[str, Any], start: Any) -> Any:
        place = f"{environ['PATH_INFO']}?{environ.get('QUERY_STRING', '')}"
        self.calls.append((environ["REQUEST_METHOD"], place))
        if self.fails is not None:
            method, part, code = self.fails
            if environ["REQUEST_METHOD"] in method.split() and part in place:
                start("403 Forbidden", [("Content-Type", "application/xml"), ("Connection", "close")])
                return [f"<Error><Code>{code}</Code><Message>not for you</Message></Error>".encode()]
        return self._app(environ, start)

    def put(self, key: str, content: bytes) -> None:
        with self.files.open_output_stream(key, compression=None) as stream:
            stream.write(content)

    def keys(self, bucket: str) -> list[str]:
        found = self.files.get_file_info(fs.FileSelector(bucket, recursive=True))
        return sorted(info.path.partition("/")[2] for info in found if info.type == fs.FileType.File)

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Ranges(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    sends_ranges = True
    fails: ClassVar[list[int | str]]

    def log_message(self, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        if not self._failed("HEAD"):
            super().do_HEAD()

    def _failed(self, method: str) -> bool:
        """Answer with the next of the failures if it is a code, one for all methods or for this one."""
        code = self.fails[0] if self.fails else ""
        if code == method:
            self.send_error(403)
        elif isinstance(code, int):
            self.fails.pop(0)
            self.send_error(code)
        else:
            return False
        return True

    def do_GET(self) -> None:
        if self._failed("GET"):
            return
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            self.send_error(404)
            return
        content = path.read_bytes()
        found = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range") or "")
        if found and self.sends_ranges and not content:
            self.send_error(416)
            return
        if found and self.sends_ranges:
            first = int(found[1]) if found[1] else max(0, len(content) - int(found[2]))
            last = min(int(found[2]), len(content) - 1) if found[1] and found[2] else len(content) - 1
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
            content = content[first : last + 1]
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Last-Modified", self.date_time_string(path.stat().st_mtime))
        self.send_header("Connection", "close")
        self.end_headers()
        if self.fails and self.fails[0] == "cut":
            content = content[: len(content) // 2]
            self.fails.pop(0)
        self.wfile.write(content)


class Web:
    """A web server that sends the files of a folder.

    The next requests end as `fails` says: a number is the code of an answer, ``"cut"`` a GET that breaks off in the
    middle; ``"HEAD"`` at the first place refuses all requests of this method.
    """

    def __init__(self, folder: Path, *, ranges: bool = True) -> None:
        self.root = folder
        self.fails: list[int | str] = []
        handler = type("Handler", (_Ranges,), {"sends_ranges": ranges, "fails": self.fails})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder)))
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
