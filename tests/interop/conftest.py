"""Toolchains of other languages: found, or the test is skipped with the reason."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
_GRPCURL = "github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.4"
# Programs installed with the Python environment, such as buf, are found too.
_PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


def run(
    command: Sequence[str | Path], directory: Path, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command of another toolchain and return what it printed."""
    return subprocess.run(
        command,
        cwd=directory,
        env={**os.environ, "PATH": _PATH, "NO_PROXY": "127.0.0.1", **(environment or {})},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def prepare(command: Sequence[str | Path], directory: Path, environment: Mapping[str, str] | None = None) -> None:
    """Run a step that fetches packages; where that is not possible, skip."""
    finished = run(command, directory, environment)
    if finished.returncode:
        last = (finished.stderr.strip() or finished.stdout.strip()).splitlines()[-1:]
        pytest.skip(f"{' '.join(map(str, command))} failed here: {''.join(last)}")


def need(program: str, version_argument: str, version: Sequence[int]) -> None:
    """Skip unless `program` is here in at least this version."""
    if shutil.which(program, path=_PATH) is None:
        pytest.skip(f"{program} is not here")
    found = re.search(r"(\d+)\.(\d+)", run([program, version_argument], ROOT).stdout)
    if found is None or tuple(map(int, found.groups())) < tuple(version):
        wanted = ".".join(map(str, version))
        pytest.skip(f"{program} is older than {wanted}")


def go_version() -> list[int]:
    """Return the version of Go that the example's go.mod asks for."""
    line = re.search(r"^go (\d+)\.(\d+)", (EXAMPLES / "go" / "go.mod").read_text(), re.MULTILINE)
    assert line is not None
    return [int(part) for part in line.groups()]


@pytest.fixture(scope="session")
def go_client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Go example, built from a copy with stubs made from the protos."""
    need("go", "version", go_version())
    # The copy has the same place relative to the protos as the original.
    root = tmp_path_factory.mktemp("go")
    source = root / "examples" / "go"
    shutil.copytree(EXAMPLES / "go", source, ignore=shutil.ignore_patterns("gen"))
    shutil.copytree(ROOT / "protos", root / "protos")
    shutil.copy(ROOT / "buf.yaml", root)
    prepare(["go", "mod", "download"], source)
    made = run(["buf", "generate", "../.."], source)
    assert made.returncode == 0, made.stderr
    built = run(["go", "build", "-mod=readonly", "-o", "client", "."], source)
    assert built.returncode == 0, built.stderr
    return source / "client"


@pytest.fixture(scope="session")
def node_client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the Node example, in a copy with its packages installed."""
    need("node", "--version", [20, 0])
    need("npm", "--version", [7, 0])
    root = tmp_path_factory.mktemp("node")
    source = root / "examples" / "node"
    shutil.copytree(EXAMPLES / "node", source, ignore=shutil.ignore_patterns("node_modules"))
    shutil.copytree(ROOT / "protos", root / "protos")
    prepare(["npm", "ci", "--no-audit", "--no-fund"], source)
    return source


@pytest.fixture(scope="session")
def java_client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the Java example, in a copy that is compiled."""
    need("java", "--version", [17, 0])
    need("mvn", "--version", [3, 8])
    root = tmp_path_factory.mktemp("java")
    source = root / "examples" / "java"
    shutil.copytree(EXAMPLES / "java", source, ignore=shutil.ignore_patterns("target"))
    shutil.copytree(ROOT / "protos", root / "protos")
    prepare(["mvn", "-q", "-B", "dependency:go-offline"], source)
    compiled = run(["mvn", "-q", "-B", "compile"], source)
    assert compiled.returncode == 0, compiled.stdout
    return source


@pytest.fixture(scope="session")
def grpcurl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that holds grpcurl: the one installed, or one built for this run."""
    found = shutil.which("grpcurl", path=_PATH)
    if found:
        return Path(found).parent
    need("go", "version", [1, 24])
    folder = tmp_path_factory.mktemp("grpcurl")
    prepare(["go", "install", _GRPCURL], folder, {"GOBIN": str(folder)})
    return folder
