"""Descriptions of messages in files: sets of descriptors, and what they are compiled from."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from arrowstream.core.hints import did_you_mean
from arrowstream.errors import MissingExtra, SchemaError
from arrowstream.io.messages.protobuf.known import is_of_protobuf

_OPTIONS: Final = "--include_imports --descriptor_set_out"
COMMAND: Final = f"protoc {_OPTIONS}=shop.pb shop.proto writes a file for descriptors="
"""How a set of descriptors is made, for hints."""

_COMPILE_SECONDS: Final = 60


def message_of(path: Path, name: str) -> Any:
    """Return the descriptor of a message by its full name.

    Parameters
    ----------
    path
        A set of descriptors, or a ``.proto`` file.
    name
        Full name of the message.

    Raises
    ------
    SchemaError
        The file does not have the message, or cannot be read.
    MissingExtra
        The library that reads descriptors is not installed.
    """
    try:
        from google.protobuf import descriptor_pb2, descriptor_pool, message
    except ImportError as error:
        raise MissingExtra(
            "files of Protocol Buffers descriptors need the library 'protobuf', which is not installed",
            hint="pip install protobuf",
        ) from error
    pool, files = descriptor_pool.DescriptorPool(), descriptor_pb2.FileDescriptorSet()
    names: list[str] = []
    try:
        files.ParseFromString(_compiled(path) if path.suffix == ".proto" else path.read_bytes())
        for file in files.file:
            pool.Add(file)
            if not is_of_protobuf(file.name):
                names += [f"{file.package}.{each.name}".lstrip(".") for each in file.message_type]
        if not names:
            raise TypeError("no messages")
        return pool.FindMessageTypeByName(name)
    except KeyError:
        raise SchemaError(
            f"{path} does not have the message {name!r}",
            expected=", ".join(names),
            found=repr(name),
            hint=did_you_mean(name, names) or "the name begins with that of the package",
        ) from None
    except (OSError, TypeError, message.DecodeError) as error:
        raise SchemaError(
            f"{path} is not a file of descriptors",
            expected=f"a file that protoc {_OPTIONS} writes",
            found=str(error),
            hint=COMMAND,
        ) from error


def _compiled(path: Path) -> bytes:
    """Return the set of descriptors of a ``.proto`` file, whose imports lie in its folder."""
    path.stat()  # that it is missing says more than that it has to be compiled
    compiler = [found] if (found := shutil.which("protoc")) else None
    if compiler is None and importlib.util.find_spec("grpc_tools") is not None:
        compiler = [sys.executable, "-m", "grpc_tools.protoc"]
    if compiler is None:
        raise SchemaError(
            f"{path} has to be compiled",
            expected="protoc, or the library grpcio-tools",
            found="neither of them",
            hint=f"run protoc --include_imports -o {path.stem}.pb {path.name} elsewhere, and name that file",
        )
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "set.pb"
        command = [
            *compiler,
            f"--proto_path={path.parent}",
            "--include_imports",
            f"--descriptor_set_out={out}",
        ]
        done = subprocess.run(
            [*command, str(path)], capture_output=True, text=True, timeout=_COMPILE_SECONDS, check=False
        )
        if done.returncode != 0:
            raise SchemaError(
                f"{path} cannot be compiled",
                expected="a file of Protocol Buffers, whose imports lie in its folder",
                found=done.stderr.strip()[:500],
            )
        return out.read_bytes()
