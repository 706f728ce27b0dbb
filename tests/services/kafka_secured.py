"""A broker with TLS, SASL and ACLs on, and an open listener for the tests' own administration.

    broker = secured(folder)
    broker.node.address      plain, for the administrator, who may do everything
    broker.sasl              SASL_SSL: PLAIN, SCRAM-SHA-256 and -512, OAUTHBEARER
    broker.mutual            SSL; clients must bring a certificate
    broker.emulator          SASL_PLAINTEXT with PLAIN
    broker.connection_string for that listener, which stands in for the Kafka endpoint of Azure Event Hubs: it takes the
                             user $ConnectionString, as the emulator of Event Hubs does. It is no Event Hubs.

Users may read and write nothing unless `allow` says so.
"""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from harness import free_port, stop
from kinds.kafka import Node
from kinds.kafka import broker as started
from token_server import AUDIENCE, ISSUER, TokenServer

ANSWER_SECONDS = 20
PASSWORD = "s3ntinel-plain"
SCRAM_PASSWORD = "s3ntinel-scram"
CLIENT_SECRET = "s3ntinel-oauth"
SHARED_KEY = "czNudGluZWwtc2hhcmVk"
LOGIN = "org.apache.kafka.common.security"


@dataclass
class Secured:
    """The broker, its addresses and its files."""

    node: Node
    tokens: TokenServer
    folder: Path
    sasl: str
    mutual: str
    emulator: str
    connection_string: str

    @property
    def authority(self) -> Path:
        """The certificate that signs all others."""
        return self.folder / "ca.pem"

    def __post_init__(self) -> None:
        self.admin = AdminClient({"bootstrap.servers": self.node.address})
        """The administrator."""

    def add_scram_user(self, user: str, password: str) -> None:
        """A user for both forms of SCRAM."""
        for mechanism in (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512):
            info = ScramCredentialInfo(mechanism, 4096)
            upsertion = UserScramCredentialUpsertion(user, info, password.encode())
            for made in self.admin.alter_user_scram_credentials([upsertion]).values():
                made.result(ANSWER_SECONDS)

    def allow(self, user: str, kind: ResourceType, name: str, *operations: AclOperation) -> None:
        """Lets a user do something to one topic or group, or to all whose names begin so when it ends with `*`."""
        pattern = ResourcePatternType.PREFIXED if name.endswith("*") else ResourcePatternType.LITERAL
        allowed = [
            AclBinding(kind, name.rstrip("*"), pattern, f"User:{user}", "*", operation, AclPermissionType.ALLOW)
            for operation in operations
        ]
        for made in self.admin.create_acls(allowed).values():
            made.result(ANSWER_SECONDS)

    def close(self) -> None:
        """Ends it."""
        stop(self.node.process)
        self.tokens.close()


def secured(folder: Path) -> Secured:
    """A broker that knows `alice` and the connection string."""
    folder.mkdir(parents=True, exist_ok=True)
    certificates(folder)
    tokens = TokenServer(folder / "tokens", CLIENT_SECRET)
    ports = {
        "SECURED": ("SASL_SSL", free_port()),
        "MUTUAL": ("SSL", free_port()),
        "EMULATOR": ("SASL_PLAINTEXT", free_port()),
    }
    connection_string = (
        f"Endpoint=sb://127.0.0.1:{ports['EMULATOR'][1]}/;SharedAccessKeyName=all;SharedAccessKey={SHARED_KEY};"
        "UseDevelopmentEmulator=true"
    )
    users = {"alice": PASSWORD, "$ConnectionString": connection_string}
    plain = " ".join(f'user_{user}="{password}"' for user, password in users.items())
    settings = [
        "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        # who comes by the open listener is the administrator
        "super.users=User:ANONYMOUS",
        "ssl.keystore.type=PEM",
        f"ssl.keystore.location={folder / 'broker.pem'}",
        "ssl.truststore.type=PEM",
        f"ssl.truststore.location={folder / 'ca.pem'}",
        "listener.name.mutual.ssl.client.auth=required",
        "listener.name.mutual.ssl.principal.mapping.rules=RULE:^CN=([^,]+).*$/$1/,DEFAULT",
        "sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER",
        "listener.name.emulator.sasl.enabled.mechanisms=PLAIN",
        f"sasl.oauthbearer.jwks.endpoint.url={tokens.url}/jwks",
        f"sasl.oauthbearer.expected.audience={AUDIENCE}",
        f"sasl.oauthbearer.expected.issuer={ISSUER}",
        f"listener.name.secured.oauthbearer.sasl.server.callback.handler.class={LOGIN}.oauthbearer.OAuthBearerValidatorCallbackHandler",
        f"listener.name.secured.oauthbearer.sasl.jaas.config={LOGIN}.oauthbearer.OAuthBearerLoginModule required;",
        *(
            f"listener.name.secured.scram-sha-{bits}.sasl.jaas.config={LOGIN}.scram.ScramLoginModule required;"
            for bits in (256, 512)
        ),
        *(
            f"listener.name.{listener}.plain.sasl.jaas.config={LOGIN}.plain.PlainLoginModule required {plain};"
            for listener in ("secured", "emulator")
        ),
    ]
    java = (f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={tokens.url}/jwks",)
    node = started(folder / "broker", listeners=ports, more=tuple(settings), java=java)
    sasl, mutual, emulator = (f"127.0.0.1:{port}" for _, port in ports.values())
    return Secured(node, tokens, folder, sasl, mutual, emulator, connection_string)


def certificates(folder: Path) -> None:
    """An authority, and what it signed: `broker.pem` (key and certificate), `client.key` and `client.pem`."""

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    new = ("req", "-newkey", "rsa:2048", "-nodes")
    openssl(*new, "-x509", "-days", "2", "-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca.pem")
    for name, subject in (("broker", "/CN=broker"), ("client", "/CN=mutual")):
        (folder / f"{name}.ext").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n", encoding="ascii")
        openssl(*new, "-subj", subject, "-keyout", f"{name}.key", "-out", f"{name}.csr")
        signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", f"{name}.ext")
        openssl("x509", "-req", "-in", f"{name}.csr", *signed, "-out", f"{name}.pem")
    parts = [(folder / name).read_text(encoding="ascii") for name in ("broker.key", "broker.pem", "ca.pem")]
    (folder / "broker.pem").write_text("".join(parts), encoding="ascii")
