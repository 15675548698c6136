"""A Redis cluster of three nodes on this machine, made for tests: each node with its folder, ended by its pid."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.ports import free_port

NODES = 3
SLOTS = 16384


@dataclass
class Node:
    port: int
    bus_port: int
    folder: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def up(self) -> None:
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)]
        command += ["--save", "", "--appendonly", "yes", "--appendfsync", "always"]
        command += ["--cluster-enabled", "yes", "--cluster-port", str(self.bus_port)]
        command += ["--cluster-node-timeout", "1000"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(3000):
            with suppress(OSError):
                if self.command("PING") == b"+PONG\r\n":
                    return
            time.sleep(0.02)
        raise AssertionError("redis-server does not answer")

    def command(self, *words: str) -> bytes:
        """The first part of a reply, at most 64 kB."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as connection:
            packed = f"*{len(words)}\r\n" + "".join(f"${len(w.encode())}\r\n{w}\r\n" for w in words)
            connection.sendall(packed.encode())
            return connection.recv(1 << 16)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()


@dataclass
class Cluster:
    nodes: list[Node] = field(default_factory=list)

    @classmethod
    def start(cls) -> Cluster:
        if shutil.which("redis-server") is None:
            pytest.skip("no redis-server on this machine: install the package redis-server")
        ports = [free_port() for _ in range(2 * NODES)]
        made = cls()
        try:
            for port, bus_port in zip(ports[:NODES], ports[NODES:], strict=True):
                node = Node(port, bus_port, Path(tempfile.mkdtemp(prefix="redis-node-")))
                made.nodes.append(node)
                node.up()
            made._join()
        except BaseException:
            made.stop()
            raise
        return made

    def _join(self) -> None:
        for number, node in enumerate(self.nodes):
            first, last = SLOTS * number // NODES, SLOTS * (number + 1) // NODES - 1
            assert node.command("CLUSTER", "ADDSLOTSRANGE", str(first), str(last)) == b"+OK\r\n"
            assert node.command("CLUSTER", "SET-CONFIG-EPOCH", str(number + 1)) == b"+OK\r\n"
        for node in self.nodes[1:]:
            meet = self.nodes[0].command("CLUSTER", "MEET", "127.0.0.1", str(node.port), str(node.bus_port))
            assert meet == b"+OK\r\n"
        self.wait()

    def wait(self, *, seconds: float = 120) -> None:
        """Until all nodes say that all is well."""
        for _ in range(int(seconds / 0.05)):
            said = [node.command("CLUSTER", "INFO") for node in self.nodes]
            if all(b"cluster_state:ok" in one and b"cluster_known_nodes:%d" % NODES in one for one in said):
                return
            time.sleep(0.05)
        raise AssertionError("the cluster is not well")

    @property
    def address(self) -> str:
        return ",".join(node.address for node in self.nodes)

    def client(self) -> Any:
        from redis.cluster import ClusterNode, RedisCluster

        return RedisCluster(startup_nodes=[ClusterNode("127.0.0.1", node.port) for node in self.nodes])

    def empty(self) -> None:
        for node in self.nodes:
            assert node.command("FLUSHALL") == b"+OK\r\n"

    def owner(self, slot: int) -> Node:
        client = self.client()
        try:
            port = client.nodes_manager.get_node_from_slot(slot).port
        finally:
            client.close()
        return next(node for node in self.nodes if node.port == port)

    def identity(self, node: Node) -> str:
        return node.command("CLUSTER", "MYID").split(b"\r\n")[1].decode()

    def move(self, slot: int, target: Node, *, pause_s: float = 0.0) -> int:
        """Moves a slot as operators do, key by key; returns how many keys were in it."""
        source = self.owner(slot)
        assert source is not target
        number = str(slot)
        assert target.command("CLUSTER", "SETSLOT", number, "IMPORTING", self.identity(source)) == b"+OK\r\n"
        assert source.command("CLUSTER", "SETSLOT", number, "MIGRATING", self.identity(target)) == b"+OK\r\n"
        import redis

        moved = 0
        with redis.Redis(port=source.port) as client:
            while keys := client.execute_command("CLUSTER GETKEYSINSLOT", slot, 1):
                client.execute_command("MIGRATE", "127.0.0.1", target.port, keys[0], 0, 5000)
                moved += 1
                time.sleep(pause_s)
        for node in (target, source, *(node for node in self.nodes if node not in (source, target))):
            assert node.command("CLUSTER", "SETSLOT", number, "NODE", self.identity(target)) == b"+OK\r\n"
        return moved

    def stop(self) -> None:
        for node in self.nodes:
            if node.process is not None and node.process.poll() is None:
                node.kill()
            shutil.rmtree(node.folder, ignore_errors=True)
