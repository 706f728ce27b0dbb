"""The registry that `tidemill schema serve` serves, asked by Confluent's own client and serializers; and our client, asked
by the program, against it, against Apicurio Registry, and against servers that are away, refuse, or talk nonsense."""

import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from harness import free_port, spawn, stop, wait_for_port
from kinds import apicurio
from pipeline import PROGRAM
from test_feast import clients_python

HERE = Path(__file__).parent
START_SECONDS = 20.0
USER = {"type": "record", "name": "User", "fields": [{"name": "id", "type": "long"}]}
WIDER = USER | {"fields": [*USER["fields"], {"name": "name", "type": ["null", "string"], "default": None}]}
OTHER = USER | {"fields": [{"name": "id", "type": "string"}]}


class Served:
    """`tidemill schema serve` over a folder."""

    def __init__(self, folder: Path, *more: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        log = folder / "serve.log"
        command = [
            str(PROGRAM),
            "schema",
            "serve",
            str(folder / "registry"),
            "--listen",
            f"127.0.0.1:{self.port}",
            *more,
        ]
        self.process = spawn(command, log)
        wait_for_port(self.port, self.process, log, START_SECONDS)

    def ask(self, path: str, body: object = None, method: str | None = None) -> tuple[int, object]:
        """Status and answer."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, method=method or ("POST" if data else "GET"))
        request.add_header("Content-Type", "application/vnd.schemaregistry.v1+json")
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)


@pytest.fixture
def served(tmp_path):
    """A registry, served."""
    one = Served(tmp_path / "served")
    yield one
    stop(one.process)


@pytest.fixture(scope="module")
def apicurio_url(tmp_path_factory):
    """A real registry of somebody else."""
    running = apicurio.start(tmp_path_factory.mktemp("apicurio"))
    yield running.env["SCHEMA_REGISTRY_URL"]
    for process in running.processes:
        stop(process)


def confluent(url: str, task: str, *user: str) -> dict:
    """What Confluent's client makes of a registry."""
    command = [str(clients_python()), str(HERE / "schema_clients.py"), url, task, *user]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def tidemill(*arguments: str, code: int = 0, env: dict[str, str] | None = None) -> str:
    """What the program prints."""
    command = [str(PROGRAM), "schema", *arguments]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=120, env=os.environ | (env or {})
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + (done.stderr if code else "")


def write(folder: Path, name: str, schema: object) -> str:
    """A schema in a file."""
    path = folder / name
    path.write_text(schema if isinstance(schema, str) else json.dumps(schema), encoding="utf-8")
    return str(path)


def test_confluent_s_client_finds_its_registry(served):
    assert confluent(served.url, "client") == {
        "same": True,
        "compatible": True,
        "incompatible": False,
        "refused": 409,
        "versions": [1, 2],
        "latest": True,
        "by_id": True,
        "version_1": True,
        "lookup": 2,
        "listed": True,
        "level": "FULL_TRANSITIVE",
        "references": [True],
        "no_subject": 40401,
        "no_version": 40402,
        "no_schema": 40403,
        "invalid": 42201,
        "referenced": 42206,
        "deleted": [1],
        "deleted_for_good": [1],
        "deleted_version": 1,
    }


def test_confluent_s_serializers(served):
    assert confluent(served.url, "avro") == {"magic": 0, "back": {"id": 7, "name": "Ann"}}
    assert confluent(served.url, "json") == {"magic": 0, "back": {"id": 7, "name": "Ann"}}
    told = confluent(served.url, "protobuf")
    assert (told["magic"], told["type"]) == (0, "PROTOBUF")
    assert "x/user.proto" in told["references"]
    # the descriptor that the serializer sends is kept as a .proto file
    for part in [
        'syntax = "proto3";',
        "message Order {",
        ".x.User by = 1;",
        "repeated string tags = 4;",
        "reserved 5 to 7;",
    ]:
        assert part in told["schema"]


def test_the_api_by_hand(served):
    assert served.ask("/") == (200, {})
    assert served.ask("/schemas/types") == (200, ["JSON", "PROTOBUF", "AVRO"])
    assert served.ask("/config") == (200, {"compatibilityLevel": "BACKWARD"})
    assert served.ask("/config", {"compatibility": "sometimes"}, "PUT")[1]["error_code"] == 42203
    assert served.ask("/mode") == (200, {"mode": "READWRITE"})
    # a name with a slash, as those of imports
    path = "/subjects/a%2Fb%20c.proto"
    proto = 'syntax = "proto3"; message M { int32 a = 1; }'
    status, told = served.ask(f"{path}/versions", {"schema": proto, "schemaType": "PROTOBUF"})
    assert (status, told["id"], told["version"]) == (200, 1, 1)
    assert served.ask("/subjects") == (200, ["a/b c.proto"])
    assert served.ask("/schemas/ids/1") == (200, {"schemaType": "PROTOBUF", "schema": proto})
    assert served.ask("/schemas/ids/1/versions") == (200, [{"subject": "a/b c.proto", "version": 1}])
    worse = {"schema": proto.replace("int32", "string"), "schemaType": "PROTOBUF"}
    status, told = served.ask(f"/compatibility{path}/versions/latest?verbose=true", worse)
    assert (status, told["is_compatible"]) == (200, False)
    assert told["messages"] == [
        "message M, field 1: 'a': data of the version before holds int32, which cannot be read as string"
    ]
    assert served.ask(f"{path}/versions", worse)[0] == 409
    assert served.ask("/config/nothing")[1]["error_code"] == 40408
    assert served.ask(f"{path}/versions/0")[1]["error_code"] == 42202
    assert served.ask(f"{path}/versions/7")[1]["error_code"] == 40402
    assert served.ask(f"{path}/versions/1?permanent=true", method="DELETE")[1]["error_code"] == 40407
    assert served.ask(f"{path}?permanent=true", method="DELETE")[1]["error_code"] == 40405
    assert served.ask(path, method="DELETE") == (200, [1])
    assert served.ask("/subjects") == (200, [])
    assert served.ask("/subjects?deleted=true") == (200, ["a/b c.proto"])
    assert served.ask("/schemas/ids/1")[0] == 200
    assert served.ask(f"{path}?permanent=true", method="DELETE") == (200, [1])
    assert served.ask("/schemas/ids/1")[1]["error_code"] == 40403
    assert served.ask("/nothing")[1] == {"error_code": 404, "message": "HTTP 404 Not Found"}
    assert served.ask("/subjects/s/versions", {"schema": '"int"', "schemaType": "XML"})[0] == 422


def test_who_may_ask(tmp_path):
    users = write(tmp_path, "users", "ann:s3ntinel\n")
    served = Served(tmp_path / "served", "--users", users)
    try:
        assert confluent(served.url, "refused") == {"status": 401}
        assert confluent(served.url, "refused", "ann:wrong") == {"status": 401}
        assert confluent(served.url, "refused", "ann:s3ntinel") == {"status": 200}
        schema = write(tmp_path, "user.avsc", USER)
        denied = tidemill("register", "-r", served.url, "users", schema, code=77)
        assert "answered 401" in denied
        tidemill("register", "-r", served.url.replace("://", "://ann:s3ntinel@"), "users", schema)
        user = {"TIDEMILL_SCHEMA_REGISTRY_USER_INFO": "ann:s3ntinel"}
        assert "users" in tidemill("list", "-r", served.url, env=user)
        wrong = tidemill("list", "-r", served.url.replace("://", "://ann:wr0ng@"), code=77)
        assert "wr0ng" not in wrong
        # pages in a browser are not let in, whatever they know
        request = urllib.request.Request(served.url + "/subjects", headers={"Origin": "http://elsewhere"})
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(request, timeout=10)
    finally:
        stop(served.process)
    refused = tidemill("serve", str(tmp_path / "r"), "--listen", "0.0.0.0:0", code=78)
    assert "can be reached from other machines" in refused


def test_a_kill_loses_nothing_that_was_answered(tmp_path):
    served = Served(tmp_path / "served")
    ids = []
    for number in range(10):
        schema = {"type": "record", "name": "R", "fields": [{"name": f"f{number}", "type": "int", "default": 0}]}
        ids.append(served.ask("/subjects/s/versions", {"schema": json.dumps(schema)})[1]["id"])
        if number % 3 == 2:
            served.process.send_signal(signal.SIGKILL)
            served.process.wait()
            served = Served(tmp_path / "served")
    assert ids == list(range(1, 11))
    assert served.ask("/subjects/s/versions") == (200, ids)
    stop(served.process)


def verbs(place: str, folder: Path) -> None:
    """The verbs of the program on a registry."""
    user, wider, other = (write(folder, f"{name}.avsc", one) for name, one in [("u", USER), ("w", WIDER), ("o", OTHER)])
    place = ["-r", place]
    first = json.loads(tidemill("register", *place, "users", user, "--format", "json"))
    assert (first["subject"], first["version"], first["schemaType"]) == ("users", 1, "AVRO")
    assert json.loads(tidemill("register", *place, "users", user, "--format", "json"))["id"] == first["id"]
    # a server may begin with another level
    assert tidemill("compatibility", *place, "users", "backward").strip() == "BACKWARD"
    assert "would take it" in tidemill("check", *place, "users", wider)
    assert "would not take it" in tidemill("check", *place, "users", other, code=78)
    tidemill("register", *place, "users", other, code=78)
    plan = json.loads(tidemill("evolve-plan", *place, "users", wider, "--format", "json"))
    assert (plan["isCompatible"], plan["first"]) == (True, "any")
    assert plan["columns"] == ["+ name string: NULL in rows that are there"]
    tidemill("register", *place, "users", wider)
    assert json.loads(json.loads(tidemill("get", *place, "users", "--format", "json"))["schema"]) == WIDER
    assert json.loads(tidemill("get", *place, "--id", str(first["id"]))) == USER
    assert json.loads(tidemill("get", *place, "users", "--version", "1")) == USER
    listed = json.loads(tidemill("list", *place, "users", "--format", "json"))
    assert [one["version"] for one in listed] == [1, 2]
    diff = json.loads(tidemill("diff", *place, "users", "--format", "json"))
    assert (diff["backward"], diff["forward"]) == ([], []) and '+       "name": "name",' in diff["lines"]
    assert "there is no subject 'user'" in tidemill("get", *place, "user", code=78)
    assert tidemill("compatibility", *place, "users", "full_transitive").strip() == "FULL_TRANSITIVE"
    query = folder / "q.sql"
    query.write_text(
        "CREATE TABLE users WITH (connector = 'files', path = 'in', format = 'json', "
        f"schema_registry = '{place[1]}', schema_subject = 'users');\n"
        "CREATE TABLE out WITH (connector = 'console');\nINSERT INTO out SELECT id, name FROM users;\n",
        encoding="utf-8",
    )
    done = subprocess.run([str(PROGRAM), "check", str(query)], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr


def test_the_program_on_a_directory(tmp_path):
    verbs(str(tmp_path / "registry"), tmp_path)


def test_the_program_on_its_own_server(served, tmp_path):
    verbs(served.url, tmp_path)


def test_the_program_on_apicurio(apicurio_url, tmp_path):
    verbs(apicurio_url, tmp_path)


def test_schemas_that_name_others(served, tmp_path):
    user = write(tmp_path, "user.proto", 'syntax = "proto3"; package x; message User { int64 id = 1; }')
    text = 'syntax = "proto3"; import "x/user.proto"; message Order { x.User by = 1; }'
    order = write(tmp_path, "order.proto", text)
    tidemill("register", "-r", served.url, "x/user.proto", user)
    assert "there is no import" in tidemill("register", "-r", served.url, "orders", order, code=78)
    tidemill("register", "-r", served.url, "orders", order, "--reference", "x/user.proto=x/user.proto:1")
    found = json.loads(tidemill("get", "-r", served.url, "orders", "--format", "json"))
    assert found["references"] == [{"name": "x/user.proto", "subject": "x/user.proto", "version": 1}]


class Fake:
    """A server that answers every request with the next of its answers, and then with the last one."""

    def __init__(self, *answers: tuple[int, str]) -> None:
        left = list(answers)
        self.asked: list[str] = []
        fake = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                fake.asked.append(self.path)
                status, said = left.pop(0) if len(left) > 1 else left[0]
                self.send_response(status)
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said.encode())

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def fake():
    """Makes servers that end with the test."""
    made: list[Fake] = []

    def make(*answers: tuple[int, str]) -> Fake:
        made.append(Fake(*answers))
        return made[-1]

    yield make
    for one in made:
        one.server.shutdown()


def test_a_registry_that_stumbles_is_asked_again(fake):
    stumbling = fake((500, "{}"), (503, "busy"), (200, '["users"]'), (404, '{"error_code":40401,"message":"none"}'))
    tidemill("list", "-r", stumbling.url)
    assert stumbling.asked[:3] == ["/subjects"] * 3


def test_of_several_urls_one_that_answers_is_found(fake):
    well = fake((200, "[]"))
    away = f"http://127.0.0.1:{free_port()}"
    tidemill("list", "-r", f"{away},{well.url}")
    assert well.asked == ["/subjects"]


def test_what_is_no_registry_is_said_so(fake):
    page = fake((404, "<html>no such page</html>"))
    assert "is this the URL of a registry" in tidemill("list", "-r", page.url, code=78)
    page = fake((200, "<html>welcome</html>"))
    assert "is this the URL of a registry" in tidemill("list", "-r", page.url, code=78)
