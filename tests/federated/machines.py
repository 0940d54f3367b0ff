"""A SuperLink and SuperNodes as processes on loopback, with certificates and keys; whatever happens, none is left."""

from __future__ import annotations

import datetime
import ipaddress
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization as written
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

import trainmap

MARK = "TRAINMAP_TEST_MACHINES"
BIN = Path(sys.executable).parent


def certificates(folder: Path) -> None:
    """ca.crt, server.crt and server.key for 127.0.0.1: an authority of a day's life, and what it signed."""
    ca, server = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)

    def signed(name: str, key: Any, is_ca: bool) -> x509.Certificate:
        usage = x509.KeyUsage(not is_ca, False, False, False, False, is_ca, is_ca, False, False)
        names = x509.SubjectAlternativeName(
            [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        )
        made = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(is_ca, None), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca.public_key()), critical=False)
        )
        return (made if is_ca else made.add_extension(names, critical=False)).sign(ca, hashes.SHA256())

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "ca.crt").write_bytes(signed("test authority", ca, True).public_bytes(written.Encoding.PEM))
    (folder / "server.crt").write_bytes(signed("localhost", server, False).public_bytes(written.Encoding.PEM))
    plain = (written.Encoding.PEM, written.PrivateFormat.TraditionalOpenSSL, written.NoEncryption())
    (folder / "server.key").write_bytes(server.private_bytes(*plain))


def node_key(path: Path) -> None:
    """A SuperNode's key pair: ``path`` and ``path``.pub, in the form of OpenSSH."""
    key = ec.generate_private_key(ec.SECP384R1())
    plain = (written.Encoding.PEM, written.PrivateFormat.OpenSSH, written.NoEncryption())
    path.write_bytes(key.private_bytes(*plain))
    path.with_suffix(".pub").write_bytes(
        key.public_key().public_bytes(written.Encoding.OpenSSH, written.PublicFormat.OpenSSH)
    )


def until(holds: Callable[[], Any], seconds: float, what: str, told: Callable[[], str]) -> Any:
    """Wait for it; what the processes logged is in the failure."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := holds():
            return value
        time.sleep(0.1)
    raise AssertionError(f"{what}: not within {seconds:g} s\n{told()}")


@dataclass
class Machines:
    """All in one folder, its logs too.

    Attributes:
        folder: for everything.
        secure: TLS, and SuperNodes that must be known by their keys.
    """

    folder: Path
    secure: bool = False
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        source = str(Path(trainmap.__file__).parent.parent)
        self.environment = os.environ | {
            MARK: str(self.folder),
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": source,
            "FLWR_TELEMETRY_ENABLED": "0",
            "FLWR_DISABLE_UPDATE_CHECK": "1",
            "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
            "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": "0.2",
            "OMP_NUM_THREADS": "1",
        }
        (self.folder / "cli").mkdir(parents=True)
        if self.secure:
            certificates(self.folder / "certificates")

    def log(self, name: str) -> str:
        """What a process has written so far."""
        path = self.folder / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def logs(self) -> str:
        """The ends of all logs."""
        return "\n".join(f"--- {path.name}\n{path.read_text()[-2500:]}" for path in sorted(self.folder.glob("*.log")))

    def until(self, holds: Callable[[], Any], what: str, seconds: float = 120.0) -> Any:
        return until(holds, seconds, what, self.logs)

    def start(self, name: str, *command: str, **environment: str) -> None:
        """A process in a session of its own, with a folder of Flower's of its own."""
        own = self.environment | {"FLWR_HOME": str(self.folder / "homes" / name)} | environment
        with open(self.folder / f"{name}.log", "ab") as log:
            self.running[name] = subprocess.Popen(
                [str(BIN / command[0]), *command[1:]],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=own,
                cwd=self.folder,
                start_new_session=True,
            )

    def port(self, name: str) -> int:
        if name not in self.ports:
            with socket.socket() as one:
                one.bind(("127.0.0.1", 0))
                self.ports[name] = one.getsockname()[1]
        return self.ports[name]

    def superlink(self) -> None:
        """Start it, and wait until it answers."""
        files = self.folder / "certificates"
        how = ["--insecure"]
        if self.secure:
            how = [f"--ssl-ca-certfile={files}/ca.crt", f"--ssl-certfile={files}/server.crt"]
            how += [f"--ssl-keyfile={files}/server.key", "--enable-supernode-auth"]
        port = self.port("superlink")
        self.start("superlink", "flower-superlink", *how, "--host", "127.0.0.1", "--port", str(port))
        trust = f'root-certificates = "{files}/ca.crt"' if self.secure else "insecure = true"
        text = f'[superlink]\ndefault = "here"\n\n[superlink.here]\naddress = "127.0.0.1:{port}"\n{trust}\n'
        (self.folder / "cli" / "config.toml").write_text(text)
        self.until(lambda: "Uvicorn running" in self.log("superlink"), "the SuperLink answers")

    def supernode(self, number: int, config: str, **environment: str) -> None:
        """Start one; where nodes are to be known, its key is registered at its first start."""
        name, link = f"node{number}", f"127.0.0.1:{self.port('superlink')}"
        how = ["--insecure"]
        if self.secure:
            key = self.folder / f"{name}_key"
            if not key.exists():
                node_key(key)
                assert "registered" in self.flwr("supernode", "register", str(key.with_suffix(".pub")))
            how = [f"--root-certificates={self.folder}/certificates/ca.crt", f"--auth-supernode-private-key={key}"]
        here = ["--superlink", link, "--host", "127.0.0.1", "--port", str(self.port(name))]
        self.start(name, "flower-supernode", *how, *here, "--node-config", config, **environment)

    def supernode_again(self, number: int, config: str) -> None:
        """Start one that was killed, again and again until it is let in: for up to a minute after a kill the SuperLink
        counts it as there, and one that comes in its place ends at once."""
        name = f"node{number}"

        def let_in() -> bool:
            if name not in self.running:
                (self.folder / f"{name}.log").rename(self.folder / f"{name}-{time.time():.0f}.log")
                self.supernode(number, config)
            if self.running[name].poll() is not None:
                self.kill(name)
                time.sleep(2.0)
                return False
            return "SuperNode ID" in self.log(name)

        self.until(let_in, f"{name} is let in again", 180.0)

    def flwr(self, *command: str) -> str:
        """A command of ``flwr``, to its end."""
        own = self.environment | {"FLWR_HOME": str(self.folder / "cli")}
        done = subprocess.run(
            [str(BIN / "flwr"), *command], capture_output=True, text=True, env=own, cwd=self.folder, timeout=120
        )
        assert not done.returncode, f"{command}: {done.stdout}{done.stderr}\n{self.logs()}"
        return done.stdout

    def kill(self, name: str) -> None:
        """All processes of one of them, as at a power cut."""
        process = self.running.pop(name)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def kill_server_app(self) -> None:
        """The ServerApp alone; the SuperLink lives."""
        for pid, command in self.ours():
            if "flwr-serverapp" in command:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def ours(self) -> Iterator[tuple[int, str]]:
        """Every living process that was started here, by whatever child of whom: by a mark in its environment."""
        mark = f"{MARK}={self.folder}".encode()
        for path in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if mark in (path / "environ").read_bytes().split(b"\0") and int(path.name) != os.getpid():
                    yield int(path.name), (path / "cmdline").read_bytes().replace(b"\0", b" ").decode()

    def close(self) -> None:
        """Kill everything."""
        for name in list(self.running):
            self.kill(name)
        for _ in range(100):
            left = [pid for pid, _ in self.ours()]
            if not left:
                return
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.1)


@contextmanager
def machines(folder: Path, secure: bool = False) -> Iterator[Machines]:
    """Such machines, and their end."""
    made = Machines(folder, secure)
    try:
        yield made
    finally:
        made.close()
