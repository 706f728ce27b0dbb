"""A broker that asks who is there, in every way, and lets nobody do what nobody allowed."""

import os

import pytest
from confluent_kafka.admin import AclOperation, ResourceType
from kafka_secured import CLIENT_SECRET, PASSWORD, SCRAM_PASSWORD
from reading import Reading, until
from token_server import METADATA

RECORDS = ["one", "two"]


def ways(broker) -> dict[str, tuple[str, dict[str, str]]]:
    """Of each way in: the user it is, and the options of the table."""
    sasl = {
        "bootstrap_servers": broker.sasl,
        "kafka.security.protocol": "SASL_SSL",
        "kafka.ssl.ca.location": str(broker.authority),
    }
    scram = {**sasl, "kafka.sasl.username": "bob", "kafka.sasl.password": SCRAM_PASSWORD}
    oauth = {**sasl, "kafka.sasl.mechanism": "OAUTHBEARER", "kafka.sasl.oauthbearer.method": "oidc"}
    client = {
        "kafka.sasl.oauthbearer.client.id": "app",
        "kafka.sasl.oauthbearer.client.secret": CLIENT_SECRET,
        "kafka.sasl.oauthbearer.token.endpoint.url": f"{broker.tokens.url}/token",
    }
    identity = {
        "kafka.sasl.oauthbearer.metadata.authentication.type": "azure_imds",
        "kafka.sasl.oauthbearer.token.endpoint.url": f"{broker.tokens.url}{METADATA}",
        "kafka.sasl.oauthbearer.config": "query=api-version=2018-02-01&resource=https://hub.test&client_id=worker",
    }
    password = {"kafka.sasl.username": "alice", "kafka.sasl.password": PASSWORD}
    key = (broker.folder / "client.key").read_text(encoding="ascii")
    certificate = {
        "bootstrap_servers": broker.mutual,
        "kafka.security.protocol": "SSL",
        "kafka.ssl.ca.location": str(broker.authority),
        "kafka.ssl.certificate.location": str(broker.folder / "client.pem"),
        "kafka.ssl.key.pem": key,
    }
    return {
        "plain": ("alice", {**sasl, "kafka.sasl.mechanism": "PLAIN", **password}),
        "scram-256": ("bob", {**scram, "kafka.sasl.mechanism": "SCRAM-SHA-256"}),
        "scram-512": ("bob", {**scram, "kafka.sasl.mechanism": "SCRAM-SHA-512"}),
        "oauth": ("app", {**oauth, **client}),
        "oauth-identity": ("worker", {**oauth, **identity}),
        "certificate": ("mutual", certificate),
    }


NAMES = ["plain", "scram-256", "scram-512", "oauth", "oauth-identity", "certificate"]


@pytest.fixture(scope="module")
def users(broker):
    """The users whose passwords the broker keeps itself."""
    broker.add_scram_user("bob", SCRAM_PASSWORD)


@pytest.mark.parametrize("way", NAMES)
def test_a_user_reads_what_it_may(broker, users, topic, producer, tmp_path, way) -> None:
    name = topic(partitions=1, more=f"-{way}")
    user, options = ways(broker)[way]
    producer.send(name, 0, RECORDS)
    reading = Reading(
        tmp_path / way, {**options, "topic": name, "startingOffsets": "earliest", "group_id": f"shown-{way}"}
    )
    told = reading.run(code=77)
    assert name in told, "the topic that nobody allowed is named"
    assert "check the user" in told or "may read it" in told
    broker.allow(user, ResourceType.TOPIC, name, AclOperation.READ, AclOperation.DESCRIBE)
    broker.allow(user, ResourceType.GROUP, f"shown-{way}", AclOperation.READ)
    told += reading.run()
    assert reading.values() == RECORDS
    secrets = [PASSWORD, SCRAM_PASSWORD, CLIENT_SECRET, "PRIVATE KEY", "eyJ"]
    kept = "".join(
        file.read_text(encoding="utf-8", errors="replace")
        for file in (reading.folder / "ckpt").rglob("*")
        if file.is_file()
    )
    assert not [secret for secret in secrets if secret in told + kept]


@pytest.mark.parametrize("way", ["plain", "scram-512", "oauth", "certificate"])
def test_a_wrong_secret_is_refused_and_not_shown(broker, users, topic, tmp_path, way) -> None:
    name = topic(partitions=1, more=f"-{way}")
    _, options = ways(broker)[way]
    wrong = {
        "plain": {"kafka.sasl.password": "wr0ng-plain"},
        "scram-512": {"kafka.sasl.password": "wr0ng-scram"},
        "oauth": {"kafka.sasl.oauthbearer.client.secret": "wr0ng-oauth"},
        "certificate": {"kafka.ssl.certificate.location": "", "kafka.ssl.key.pem": ""},
    }[way]
    options = {key: value for key, value in {**options, **wrong}.items() if value}
    reading = Reading(tmp_path / way, {**options, "topic": name, "connect_timeout": "4s"})
    process = reading.start("--trigger", "available-now")
    out, told = process.communicate(timeout=60)
    assert process.returncode in (75, 77), f"{out}{told}"
    assert "wr0ng" not in out + told
    assert any(word in told.lower() for word in ("authentication", "token", "ssl", "handshake", "credential")), told


def test_a_token_is_renewed_although_its_server_refuses_for_a_while(broker, users, topic, producer, tmp_path) -> None:
    """The client asks again 10 seconds after a refusal; the old connections go on meanwhile. TIDEMILL_LONG: three times."""
    name = topic(partitions=1)
    _, options = ways(broker)["oauth"]
    broker.allow("app", ResourceType.TOPIC, name, AclOperation.READ, AclOperation.DESCRIBE)
    refusals = 3 if "TIDEMILL_LONG" in os.environ else 1
    reading = Reading(tmp_path / "renewed", {**options, "topic": name, "startingOffsets": "earliest"})
    asked = len(broker.tokens.asked)
    broker.tokens.life_seconds = 5
    process = reading.start()
    try:
        producer.send(name, 0, ["first"])
        reading.wait_for(1, process)
        broker.tokens.refusals = refusals

        def count(what: str) -> int:
            return broker.tokens.asked[asked:].count(what)

        until(lambda: count("refused /token") == refusals, lambda: str(broker.tokens.asked), process)
        producer.send(name, 0, ["refused"])
        reading.wait_for(2, process)
        renewed = count("/token")
        until(lambda: count("/token") > renewed, lambda: str(broker.tokens.asked), process)
        producer.send(name, 0, ["renewed"])
        reading.wait_for(3, process)
    finally:
        broker.tokens.life_seconds, broker.tokens.refusals = 3600, 0
        process.terminate()
        process.wait(30)
    assert reading.values() == ["first", "refused", "renewed"]
