"""A schema registry that speaks Confluent's documented protocol, on a thread."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import unquote


@dataclass
class Registry:
    """What it holds, and how it answers."""

    url: str = ""
    schemas: dict[int, dict[str, Any]] = field(default_factory=dict)
    versions: dict[str, list[int]] = field(default_factory=dict)
    answers: list[tuple[int, bytes]] = field(default_factory=list)
    """Status and content of the next answers, before those of the protocol."""
    requests: list[str] = field(default_factory=list)
    logins: list[str | None] = field(default_factory=list)

    def add(self, schema: Any, subject: str = "s", **more: Any) -> int:
        entry = {"schema": schema if isinstance(schema, str) else json.dumps(schema), **more}
        same = [number for number, known in self.schemas.items() if known == entry]
        number = same[0] if same else len(self.schemas) + 1
        self.schemas[number] = entry
        versions = self.versions.setdefault(subject, [])
        if number not in versions:
            versions.append(number)
        return number

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        if self.answers:
            return self.answers.pop(0)
        match [method, *(unquote(part) for part in path.partition("?")[0].strip("/").split("/"))]:
            case ["GET", "schemas", "ids", number] if int(number) in self.schemas:
                return 200, json.dumps(self.schemas[int(number)]).encode()
            case ["GET", "subjects", subject, "versions", version] if subject in self.versions:
                number = self.versions[subject][int(version) - 1]
                return 200, json.dumps({"id": number, "subject": subject, **self.schemas[number]}).encode()
            case ["POST", "subjects", subject, "versions"]:
                asked = json.loads(body)
                kind = asked.get("schemaType", "AVRO")
                more = {} if kind == "AVRO" else {"schemaType": kind}
                return 200, json.dumps({"id": self.add(asked["schema"], subject, **more)}).encode()
        return 404, b'{"error_code": 40403, "message": "Schema not found"}'


@contextmanager
def schema_registry() -> Iterator[Registry]:
    registry = Registry()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            registry.requests.append(f"{self.command} {self.path}")
            registry.logins.append(self.headers["Authorization"])
            body = self.rfile.read(int(self.headers["Content-Length"] or 0))
            status, content = registry.answer(self.command, self.path, body)
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("Location", registry.url + "/elsewhere")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET

        def log_message(self, format: str, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        registry.url = f"http://127.0.0.1:{server.server_port}"
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield registry
        finally:
            server.shutdown()
            thread.join()
