"""The files in deploy/ pass their own validators, and what they say about tlseg is true.

If a validator is not installed, the reason for the skip names it.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import Any

import click
import jsonschema
import pytest
import yaml

from tlseg.cli import main
from tlseg.run.tasks.cluster_file import ClusterSpec
from tlseg.run.tasks.workers import RESOURCE

DEPLOY = Path(__file__).parents[2] / "deploy"
MANIFESTS = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
CLUSTERS = [DEPLOY / "workstation.yaml", *sorted((DEPLOY / "slurm").glob("*.yaml"))]
DOCKERFILES = sorted(DEPLOY.glob("Dockerfile*"))
SCRIPTS = [*sorted((DEPLOY / "slurm").glob("*.sh")), *sorted((DEPLOY / "slurm").glob("*.sbatch"))]
OPERATOR = "kubernetes.dask.org/v1"


def name(path: Path) -> str:
    return str(path.relative_to(DEPLOY))


def passes(tool: str, *arguments: str | Path) -> None:
    """Run a validator installed beside this Python or on the path."""
    program = shutil.which(tool, path=str(Path(sys.executable).parent)) or shutil.which(tool)
    if program is None:
        pytest.skip(f"{tool} is not installed")
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def manifests(kind: str | None = None) -> Iterator[dict[str, Any]]:
    for path in MANIFESTS:
        for manifest in yaml.safe_load_all(path.read_text()):
            if kind is None or manifest["kind"] == kind:
                yield manifest


def pods() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every pod that the manifests request: its owner and its specification."""
    for manifest in manifests():
        spec = manifest["spec"]
        for part in ("scheduler", "worker"):
            if part in spec:
                yield f"{manifest['metadata']['name']} {part}", spec[part]["spec"]
        if "template" in spec:
            yield manifest["metadata"]["name"], spec["template"]["spec"]


# --- each by its own validator --------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", DOCKERFILES, ids=name)
def test_dockerfiles(path: Path) -> None:
    passes("hadolint", path)


@pytest.mark.parametrize("path", SCRIPTS, ids=name)
def test_scripts(path: Path) -> None:
    passes("shellcheck", path)
    assert path.stat().st_mode & 0o111, "executable"


@pytest.mark.parametrize("path", sorted(DEPLOY.glob("compose*.yaml")), ids=name)
def test_compose_files(path: Path) -> None:
    passes("check-jsonschema", "--builtin-schema", "vendor.compose-spec", path)


@pytest.mark.parametrize("manifest", list(manifests()), ids=lambda m: m["kind"])
def test_manifests(manifest: dict[str, Any]) -> None:
    if manifest["apiVersion"] != OPERATOR:
        validate = pytest.importorskip("kubernetes_validate").validate
        validate(manifest, "1.33", strict=True)
        return
    # The schema that the operator itself installs in a cluster.
    try:
        installed = files("dask-kubernetes") or []
    except PackageNotFoundError:
        pytest.skip("dask-kubernetes, which holds the schema of the operator's resources, is not installed")
    crd = next(p for p in installed if p.match(f"crds/{manifest['kind'].lower()}.yaml"))
    version = yaml.load(crd.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))["spec"]["versions"][0]
    assert f"kubernetes.dask.org/{version['name']}" == manifest["apiVersion"]
    jsonschema.validate(manifest, version["schema"]["openAPIV3Schema"])


@pytest.mark.parametrize(("whose", "spec"), list(pods()), ids=lambda v: v if isinstance(v, str) else "")
def test_pods(whose: str, spec: dict[str, Any]) -> None:
    """Pods inside the operator's resources are checked as well: a misspelt key there is an error too."""
    validate = pytest.importorskip("kubernetes_validate").validate
    validate({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, "spec": spec}, "1.33", strict=True)


def test_the_scheduler_has_a_service() -> None:
    validate = pytest.importorskip("kubernetes_validate").validate
    (cluster,) = manifests("DaskCluster")
    service = cluster["spec"]["scheduler"]["service"]
    validate({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": service}, "1.33", strict=True)
    named = {p["name"] for c in cluster["spec"]["scheduler"]["spec"]["containers"] for p in c["ports"]}
    assert {port["targetPort"] for port in service["ports"]} <= named


@pytest.mark.parametrize("path", CLUSTERS, ids=name)
def test_cluster_files(path: Path) -> None:
    spec = ClusterSpec.read(path)
    assert spec.workers or spec.adapt or "CUDA_VISIBLE_DEVICES" in spec.options, "how many workers is said"


# --- what they say of tlseg is true ---------------------------------------------------------------------------------


def test_nobody_is_root() -> None:
    for path in DOCKERFILES:
        users = re.findall(r"^USER (\S+)", path.read_text(), re.MULTILINE)
        assert users
        assert users[-1] not in ("root", "0")
    for whose, spec in pods():
        for container in spec["containers"]:
            assert container["securityContext"]["runAsNonRoot"], whose


def test_bases_and_images_are_pinned() -> None:
    for path in DOCKERFILES:
        bases = re.findall(r"^FROM (\S+)", path.read_text(), re.MULTILINE)
        assert bases
        assert all(re.search(r":\d+\.\d+", base) for base in bases)
    for whose, spec in pods():
        assert all(re.search(r":(?!latest)\w", c["image"]) for c in spec["containers"]), whose


def test_workers_offer_what_the_run_asks_for() -> None:
    """With a misspelt resource, workers would stay idle."""
    text = "\n".join(path.read_text() for path in DEPLOY.rglob("*") if path.is_file())
    offered = set(re.findall(r"--resources[\", ]+(\w+)=", text)) | set(re.findall(r"resources: \{(\w+): 1\}", text))
    assert offered == set(RESOURCE.values())


def test_commands_exist() -> None:
    """So do their options."""
    assert len(all_commands()) >= 4
    for line in all_commands():
        words = line.split()[1:]
        command = main.get_command(click.Context(main), words[0])
        assert command is not None, line
        known = {option for parameter in command.params for option in parameter.opts}
        assert {w.split("=")[0] for w in words if w.startswith("--")} <= known, line


def test_no_variable_means_two_things() -> None:
    """The variable for the volume must not be the one used elsewhere for the folder with real embryos."""
    root = DEPLOY.parent
    python = [path for folder in ("src", "tests", "examples", "benchmarks") for path in (root / folder).rglob("*.py")]
    read = {name for path in python for name in re.findall(r"TLSEG_[A-Z]+", path.read_text())}
    here = {name for p in DEPLOY.rglob("*") if p.is_file() for name in re.findall(r"TLSEG_[A-Z]+", p.read_text())}
    assert here
    assert not here & read


def test_results_in_a_store_have_a_folder_for_working_files() -> None:
    """With workers on other machines, a run into an object store refuses to start without one."""
    remote = [line for line in all_commands() if "://" in option(line, "--out") and elsewhere(line)]
    assert remote, "the compose file with a store shows such a command"
    for line in remote:
        assert option(line, "--scratch").startswith("/data/"), line
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    assert all(volume.endswith(":/data") for service in services.values() for volume in service["volumes"])


def all_commands() -> set[str]:
    """Each `tlseg` line in a comment, script or manifest."""
    lines = {line for path in DEPLOY.rglob("*") if path.is_file() for line in commands(path.read_text())}
    (job,) = manifests("Job")
    return {*lines, " ".join(job["spec"]["template"]["spec"]["containers"][0]["args"])}


def commands(text: str) -> list[str]:
    """`tlseg ...` from a shell line or comment, with continuation lines joined."""
    joined = re.sub(r" *\\\n[# ]*", " ", text)
    found = re.findall(r"\btlseg (?:segment|demo|status|plan)\b[^\n&)]*", joined)
    return [line.split("  #")[0] for line in found]


def option(line: str, name: str) -> str:
    """The value that a command gives to an option; empty if none."""
    found = re.search(rf"{name}[= ]+(\S+)", line)
    return found[1] if found else ""


def elsewhere(line: str) -> bool:
    return bool(option(line, "--scheduler") or option(line, "--cluster"))
