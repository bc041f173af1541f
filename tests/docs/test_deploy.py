"""The files of docs/deploy, each looked at by its own tool where that is here, and by drn itself."""

import shutil
import subprocess
import sys
import warnings
from configparser import ConfigParser
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from generator.commands.serve import command

DEPLOY = Path(__file__).parents[2] / "docs" / "deploy"


def lint(*arguments: object, cwd: Path = DEPLOY) -> str:
    """Run a tool on a file; return what it says, and fail where it finds fault. Where it is not here, skip loudly."""
    name = str(arguments[0])
    tool = shutil.which(name, path=f"{Path(sys.executable).parent}:{Path(sys.prefix) / 'bin'}") or shutil.which(name)
    if tool is None:
        warnings.warn(f"{name} is not here, so its files in docs/deploy go unlinted: SKIPPED", stacklevel=1)
        pytest.skip(f"{name} is not here")
    done = subprocess.run([tool, *map(str, arguments[1:])], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def options_of(text: str, arguments: list[str], tmp_path: Path, monkeypatch) -> dict:
    """What drn serve would run with, for a configuration and a command line."""
    monkeypatch.setattr(command, "callback", lambda **given: given)
    (tmp_path / "serve.yaml").write_text(text)
    (tmp_path / "token").write_text("secret")
    places = {"/etc/drn/serve.yaml": "serve.yaml", "%d/token": "token", "/run/secrets/drn-token": "token"}
    given = [str(tmp_path / places[one]) if one in places else one for one in arguments]
    text = text.replace("/run/secrets/drn/token", str(tmp_path / "token"))
    (tmp_path / "serve.yaml").write_text(text)
    done = CliRunner().invoke(command, given, standalone_mode=False)
    assert done.exception is None, done.exception
    return done.return_value


def test_the_image():
    assert lint("hadolint", "Dockerfile") == ""
    text = (DEPLOY / "Dockerfile").read_text()
    extras = ConfigParser(interpolation=None)
    extras.read(DEPLOY.parents[1] / "setup.cfg")
    named = text.partition("/src[")[2].partition("]")[0].split(",")
    assert set(named) <= set(extras["options.extras_require"])
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    assert all((DEPLOY.parents[1] / line[1:]).exists() for line in ignored if line.startswith("!"))


def test_the_compose_file(tmp_path, monkeypatch):
    """Files, secrets, volumes and hosts that are named are there, and drn takes the options."""
    composed = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    services = composed["services"]
    build = services["drn"]["build"]
    assert (DEPLOY / build["context"] / build["dockerfile"]) == DEPLOY / "../.." / "docs/deploy/Dockerfile"
    for service in services.values():
        for source, _, _ in (volume.partition(":") for volume in service.get("volumes", [])):
            assert source in composed["volumes"] or source == "./models" or (DEPLOY / source).is_file()
        assert set(service.get("secrets", [])) <= set(composed["secrets"])
        assert set(service.get("depends_on", [])) <= set(services)
    arguments = services["drn"]["command"][1:]
    found = options_of((DEPLOY / "serve.yaml").read_text(), arguments, tmp_path, monkeypatch)
    assert found["store"].partition("://")[2].partition(":")[0] in services
    assert found["allow"] == ("shop.example",)
    assert f"{found['port']}" in (DEPLOY / "Dockerfile").read_text()


def test_the_compose_file_by_the_specification(tmp_path):
    """By the schema of the Compose Specification, and by docker compose where that is here."""
    schema = ["check-jsonschema", "--builtin-schema", "vendor.compose-spec"]
    lint(*schema, "compose.yaml")
    (tmp_path / "wrong.yaml").write_text((DEPLOY / "compose.yaml").read_text().replace("depends_on", "depends"))
    with pytest.raises(AssertionError, match="'depends' was unexpected"):
        lint(*schema, tmp_path / "wrong.yaml")
    if shutil.which("docker") and not subprocess.run(["docker", "compose", "version"], check=False).returncode:
        lint("docker", "compose", "-f", "compose.yaml", "config", "--quiet")


def test_the_proxy():
    assert "Valid configuration" in lint("caddy", "validate", "--adapter", "caddyfile", "--config", "Caddyfile")
    name = next(line for line in (DEPLOY / "Caddyfile").read_text().splitlines() if line.endswith("{")).split()[0]
    assert name in yaml.safe_load((DEPLOY / "serve.yaml").read_text())["allow-host"]


def test_the_unit(tmp_path, monkeypatch):
    unit = (DEPLOY / "drn.service").read_text()
    line = next(line for line in unit.splitlines() if line.startswith("ExecStart=")).partition("=")[2].split()
    config = "models: /srv/models\nstore: sqlite:////var/lib/drn/drn.sqlite\n"
    assert options_of(config, line[2:], tmp_path, monkeypatch)["token_file"] == tmp_path / "token"
    (tmp_path / "drn.service").write_text(unit.replace(line[0], sys.executable))
    assert lint("systemd-analyze", "verify", "drn.service", cwd=tmp_path) == ""


def test_the_manifests(tmp_path, monkeypatch):
    lint("kubernetes-validate", "--strict", "kubernetes.yaml")
    config, deployment, service, budget = yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text())
    pod = deployment["spec"]["template"]
    labels = pod["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"] == labels == service["spec"]["selector"]
    assert budget["spec"]["selector"]["matchLabels"] == labels
    (container,) = pod["spec"]["containers"]
    volumes = {volume["name"] for volume in pod["spec"]["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == volumes
    assert {env["name"] for env in container["env"]} == {"DRN_STORE"}
    arguments = [one.replace("$(DRN_STORE)", "mongodb://db/drn") for one in container["args"]]
    found = options_of(config["data"]["serve.yaml"], arguments[1:], tmp_path, monkeypatch)
    assert (found["store"], found["host"]) == ("mongodb://db/drn", "0.0.0.0")
    assert found["port"] == container["ports"][0]["containerPort"]
    probes = {name: container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "liveness", "readiness")}
    assert probes == {"startup": "/v2/health/live", "liveness": "/v2/health/live", "readiness": "/v2/health/ready"}
