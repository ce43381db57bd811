"""Apache Kafka servers (KRaft, one node), from the jars that make fetches with Maven."""

import base64
import json
import os
import shutil
import subprocess
import time
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path

from servers.certificates import make_certificates
from servers.processes import end, free_ports, start, wait_for_port

JARS = Path(__file__).parents[2] / ".data" / "kafka"
USER, PASSWORD = "reader", "secret-of-the-reader"
# A small heap and few threads: the tests share two cores with the server.
JAVA = ("-Xmx320M", "-Xms320M", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData")
PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners={listeners},CONTROLLER://127.0.0.1:{controller}
advertised.listeners={listeners}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,\
SSL:SSL,SASL_SSL:SASL_SSL
ssl.keystore.type=PEM
ssl.keystore.location={folder}/server.pem
ssl.truststore.type=PEM
ssl.truststore.location={folder}/ca.pem
listener.name.ssl.ssl.client.auth=requested
listener.name.sasl_ssl.sasl.enabled.mechanisms=OAUTHBEARER,SCRAM-SHA-256
listener.name.sasl_ssl.oauthbearer.sasl.jaas.config=\
org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required;
listener.name.sasl_ssl.oauthbearer.sasl.server.callback.handler.class=\
org.apache.kafka.common.security.oauthbearer.internals.unsecured.OAuthBearerUnsecuredValidatorCallbackHandler
listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required;
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.sasl_plaintext.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule \
required user_{user}="{password}";
listener.name.sasl_plaintext.scram-sha-256.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl_plaintext.scram-sha-512.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required;
connection.failed.authentication.delay.ms=0
log.dir={folder}/log
log.cleaner.backoff.ms=100
log.cleaner.dedupe.buffer.size=4194304
log.retention.check.interval.ms=1000
log.initial.task.delay.ms=100
num.partitions=1
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
broker.session.timeout.ms=1000
broker.heartbeat.interval.ms=200
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=100
num.network.threads=1
num.io.threads=2
background.threads=2
num.recovery.threads.per.data.dir=1
"""


def is_installed() -> bool:
    """True if this machine has the jars, a Java to run them, and openssl for the certificates."""
    return (JARS / ".ready").is_file() and None not in (shutil.which("java"), shutil.which("openssl"))


@dataclass
class KafkaServer:
    """One server: its ports stay the same when it is restarted."""

    folder: str
    plain: int
    sasl: int
    tls: int
    sasl_tls: int
    controller: int
    pid: int = 0
    seconds: float = 0
    """How long the last start took."""

    @property
    def address(self) -> str:
        """Host and port for clients without security."""
        return f"127.0.0.1:{self.plain}"

    @property
    def sasl_address(self) -> str:
        """Host and port for clients that log in as `USER`, by PLAIN or SCRAM."""
        return f"127.0.0.1:{self.sasl}"

    @property
    def tls_address(self) -> str:
        """Host and port for clients with TLS; those with a certificate need one that the authority has signed."""
        return f"127.0.0.1:{self.tls}"

    @property
    def sasl_tls_address(self) -> str:
        """Host and port for clients with TLS that log in by SCRAM, or by a token without a signature."""
        return f"127.0.0.1:{self.sasl_tls}"

    def certificate(self, name: str) -> str:
        """Path of one of the files of `make_certificates`."""
        return f"{self.folder}/{name}"

    @staticmethod
    def new(folder: Path) -> "KafkaServer":
        """Format the storage of a server in an empty folder, and start the server."""
        server = KafkaServer(str(folder), *free_ports(5))
        ports = {
            "PLAINTEXT": server.plain,
            "SASL_PLAINTEXT": server.sasl,
            "SSL": server.tls,
            "SASL_SSL": server.sasl_tls,
        }
        listeners = ",".join(f"{name}://127.0.0.1:{port}" for name, port in ports.items())
        names = {**asdict(server), "user": USER, "password": PASSWORD, "listeners": listeners}
        make_certificates(folder)
        (folder / "server.properties").write_text(PROPERTIES.format(**names))
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        scram = [f"SCRAM-SHA-{bits}=[name={USER},password={PASSWORD}]" for bits in (256, 512)]
        options = [part for each in scram for part in ("--add-scram", each)]
        # An id that begins with "-" would be read as an option, if it were an argument of its own.
        tool = server._command("kafka.tools.StorageTool", "format", f"--cluster-id={cluster}", *options, "-c")
        done = subprocess.run(
            tool, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False
        )
        if done.returncode != 0:
            raise RuntimeError(f"Kafka's storage was not formatted:\n{done.stdout}")
        server.start()
        return server

    def start(self) -> None:
        """Start the server on its data, and wait until it answers."""
        begin = time.monotonic()
        environment = {key: os.environ[key] for key in ("PATH", "HOME", "JAVA_HOME") if key in os.environ}
        self.pid = start(self._command("kafka.Kafka"), environment, self._log)
        wait_for_port(self.plain, self.pid, self._log)
        self.seconds = time.monotonic() - begin

    def stop(self, seconds: float = 0) -> None:
        """Stop the server: by SIGKILL, or by SIGTERM if it may take some `seconds`."""
        end(self.pid, seconds)

    def save(self, path: Path) -> None:
        """Write down where the server runs, for other processes."""
        path.write_text(json.dumps(asdict(self)))

    @staticmethod
    def saved(path: Path) -> "KafkaServer":
        """A server that another process has started."""
        return KafkaServer(**json.loads(path.read_text()))

    @property
    def _log(self) -> Path:
        return Path(self.folder) / "output.txt"

    def _command(self, *arguments: str) -> list[str]:
        return ["java", *JAVA, "-cp", f"{JARS}/*", *arguments, f"{self.folder}/server.properties"]
