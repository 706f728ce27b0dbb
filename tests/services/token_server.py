"""An OAuth authorization server, as far as clients and brokers of Kafka need one: tokens for a client with its secret,
tokens for a managed identity as Azure's instance metadata service gives them, and the public key.

It stands in for Microsoft Entra ID and others like it, which cannot be had here. Tokens are JWTs, signed (RS256) with a
key that openssl makes.
"""

import base64
import json
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlparse

ISSUER = "https://issuer.test"
AUDIENCE = "tidemill"
METADATA = "/metadata/identity/oauth2/token"
KEY = "key-1"


class TokenServer:
    """A server on a loopback port, with one client `app`."""

    def __init__(self, folder: Path, secret: str, life_seconds: int = 3600) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.key = folder / "token.key"
        made = ["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", str(self.key)]
        subprocess.run(made, check=True, capture_output=True)
        self.secret = secret
        self.life_seconds = life_seconds
        self.asked: list[str] = []
        """What was asked for, by path; a refused question with `refused` before it."""
        self.refusals = 0
        """So many of the next questions are refused."""
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.get(self)

            def do_POST(self) -> None:
                server.post(self)

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def get(self, request: BaseHTTPRequestHandler) -> None:
        """The public key, or a token for a managed identity."""
        where = urlparse(request.path)
        if where.path == "/jwks":
            self.asked.append("/jwks")
            answer(request, 200, self.jwks())
        elif where.path == METADATA and request.headers.get("Metadata") == "true":
            self.token(request, METADATA, parse_qs(where.query).get("client_id", ["identity"])[0])
        else:
            answer(request, 400, {"error": "invalid_request"})

    def post(self, request: BaseHTTPRequestHandler) -> None:
        """A token for a client that knows its secret."""
        body = parse_qs(request.rfile.read(int(request.headers["Content-Length"])).decode())
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        wanted = base64.b64encode(f"app:{self.secret}".encode()).decode()
        if scheme != "Basic" or given != wanted or body.get("grant_type") != ["client_credentials"]:
            self.asked.append("refused /token")
            answer(request, 401, {"error": "invalid_client"})
        else:
            self.token(request, "/token", "app")

    def token(self, request: BaseHTTPRequestHandler, path: str, subject: str) -> None:
        """Answers with a token, unless the next answers are to be refusals."""
        if self.refusals:
            self.refusals -= 1
            self.asked.append(f"refused {path}")
            answer(request, 503, {"error": "temporarily_unavailable"})
            return
        self.asked.append(path)
        now = int(time.time())
        claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": subject, "iat": now, "exp": now + self.life_seconds}
        token = self.signed(claims)
        answer(request, 200, {"access_token": token, "token_type": "Bearer", "expires_in": self.life_seconds})

    def signed(self, claims: dict) -> str:
        """A JWT."""
        head = {"alg": "RS256", "typ": "JWT", "kid": KEY}
        text = ".".join(plain(json.dumps(part).encode()) for part in (head, claims))
        signing = ["openssl", "dgst", "-sha256", "-sign", str(self.key)]
        done = subprocess.run(signing, input=text.encode(), check=True, capture_output=True)
        return f"{text}.{plain(done.stdout)}"

    def jwks(self) -> dict:
        """The public key, as a set of one."""
        shown = subprocess.run(
            ["openssl", "rsa", "-in", str(self.key), "-noout", "-modulus"], check=True, capture_output=True, text=True
        )
        modulus = bytes.fromhex(shown.stdout.strip().removeprefix("Modulus="))
        return {"keys": [{"kty": "RSA", "kid": KEY, "use": "sig", "alg": "RS256", "n": plain(modulus), "e": "AQAB"}]}

    def close(self) -> None:
        """Ends it."""
        self.http.shutdown()
        self.http.server_close()


def plain(data: bytes) -> str:
    """Base64 as JWTs have it."""
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def answer(request: BaseHTTPRequestHandler, code: int, body: dict) -> None:
    """An answer of JSON."""
    data = json.dumps(body).encode()
    request.send_response(code)
    request.send_header("Content-Type", "application/json")
    request.send_header("Content-Length", str(len(data)))
    request.end_headers()
    request.wfile.write(data)
