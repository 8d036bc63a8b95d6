"""A small time-stamping authority of the tests' own, made with openssl, on loopback."""

from __future__ import annotations

import contextlib
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

CONFIG = """
[req]
distinguished_name = dn
[dn]
[ca]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
[stamp]
basicConstraints = critical, CA:FALSE
extendedKeyUsage = critical, timeStamping
keyUsage = critical, digitalSignature
[tsa]
default_tsa = authority
[authority]
serial = {0}/serial
signer_cert = {0}/tsa.pem
signer_key = {0}/tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
accuracy = secs:1
ess_cert_id_chain = no
ess_cert_id_alg = sha256
"""


@dataclass
class Authority:
    """Answers stamp requests; `mood` says how: good, replay, reject, garbage, away."""

    folder: Path
    mood: str = "good"
    url: str = ""
    kept: bytes = b""
    asked: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        (self.folder / "conf").write_text(CONFIG.format(self.folder))
        (self.folder / "serial").write_text("01\n")
        self._make("root", "ca", None)
        self._make("tsa", "stamp", "root")

    @property
    def roots(self) -> Path:
        return self.folder / "root.pem"

    def answer(self, query: bytes) -> tuple[int, bytes]:
        if self.mood == "away":
            return 503, b""
        if self.mood == "garbage":
            return 200, b"\x30\x03\x02\x01\x00"
        if self.mood == "reject":  # a request that is none gets a response that says so
            query = query[:-1] + b"\x00"
        if self.mood == "replay" and self.kept:
            return 200, self.kept
        (self.folder / "query").write_bytes(query)
        self._openssl(
            "ts", "-reply", "-queryfile", "query", "-out", "reply",
            "-config", "conf", "-section", "authority",
        )  # fmt: skip
        self.kept = (self.folder / "reply").read_bytes()
        return 200, self.kept

    @contextlib.contextmanager
    def serving(self) -> Iterator[Authority]:
        here = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                here.asked.append(self.headers["content-type"])
                query = self.rfile.read(int(self.headers["content-length"]))
                status, content = here.answer(query)
                self.send_response(status)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            self.url = f"http://127.0.0.1:{server.server_port}/stamp"
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            yield self
            server.shutdown()
            thread.join()

    def _make(self, name: str, extensions: str, issuer: str | None) -> None:
        signed = ["-CA", f"{issuer}.pem", "-CAkey", f"{issuer}.key"] if issuer else []
        self._openssl(
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", f"/CN=test {name}",
            "-days", "30", "-config", "conf", "-extensions", extensions, *signed,
        )  # fmt: skip

    def _openssl(self, *words: str) -> None:
        subprocess.run(["openssl", *words], cwd=self.folder, check=True, capture_output=True)
