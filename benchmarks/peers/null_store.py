"""An object store that throws every byte away: just enough of the JSON API of Google Cloud Storage to be uploaded to.

It keeps only size and CRC32C of every object, so that clients which verify them are satisfied. It speaks multipart
and resumable uploads, compose, delete and list.
"""

import base64
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

import google_crc32c

from ingest_service.upload.checksum import joined

_READ_BYTES = 256 << 10
_objects: dict[str, tuple[int, int]] = {}


class NullStore(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # an answer is two writes, and its second would wait 40 ms for the client's kernel

    def do_POST(self) -> None:
        target = urlsplit(self.path)
        query = parse_qs(target.query)
        if "multipart" in query.get("uploadType", []):
            self._answer(_object(self._take_multipart()))
        elif "resumable" in query.get("uploadType", []):
            name = json.loads(self._body())["name"]
            _objects[name] = (0, 0)
            self._answer({}, Location=f"http://{self.headers['host']}/resume/{name}")
        elif target.path.endswith("/compose"):
            sources = [source["name"] for source in json.loads(self._body())["sourceObjects"]]
            name = unquote(target.path.split("/o/")[1].removesuffix("/compose"))
            _objects[name] = (0, 0)
            for source in sources:
                size_bytes, crc32c = _objects[source]
                _objects[name] = (_objects[name][0] + size_bytes, joined(_objects[name][1], crc32c, size_bytes))
            self._answer(_object(name))

    def do_PUT(self) -> None:
        name = self.path.removeprefix("/resume/")
        size_bytes, crc32c = self._discard(int(self.headers["content-length"]), *_objects[name])
        _objects[name] = (size_bytes, crc32c)
        if self.headers["content-range"].endswith(f"/{size_bytes}"):
            self._answer(_object(name))
        else:
            self._answer({}, status=308, Range=f"bytes=0-{size_bytes - 1}")

    def do_DELETE(self) -> None:
        _objects.pop(unquote(self.path.split("/o/")[1].partition("?")[0]), None)
        self._answer({}, status=204)

    def do_GET(self) -> None:
        self._answer({"items": []})

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class calls it so
        pass

    def _take_multipart(self) -> str:
        boundary = self.rfile.readline()
        heads = [boundary]
        while heads.count(b"\r\n") < 2:  # after the head of the metadata, after that of the media
            heads.append(self.rfile.readline())
        metadata = next(line for line in heads if line.startswith(b"{"))
        tail_bytes = len(boundary) + len(b"--")
        media_bytes = int(self.headers["content-length"]) - sum(map(len, heads)) - tail_bytes
        name = str(json.loads(metadata)["name"])
        _objects[name] = self._discard(media_bytes, 0, 0)
        self.rfile.read(tail_bytes)
        return name

    def _discard(self, left_bytes: int, size_bytes: int, crc32c: int) -> tuple[int, int]:
        while left_bytes:
            data = self.rfile.read(min(_READ_BYTES, left_bytes))
            crc32c = google_crc32c.extend(crc32c, data)
            left_bytes -= len(data)
            size_bytes += len(data)
        return size_bytes, crc32c

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers["content-length"]))

    def _answer(self, message: dict[str, object], *, status: int = 200, **headers: str) -> None:
        body = b"" if status == 204 else json.dumps(message).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _object(name: str) -> dict[str, object]:
    size_bytes, crc32c = _objects[name]
    checksum = base64.b64encode(crc32c.to_bytes(4, "big")).decode()
    return {"name": name, "bucket": "null", "size": str(size_bytes), "crc32c": checksum, "generation": "1"}


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), NullStore)
    print(f"127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()
