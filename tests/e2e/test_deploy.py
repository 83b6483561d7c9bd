"""What `deploy` ships fits the server, Kubernetes, Compose and Docker, as far as that can be seen without a cluster."""

import re
import shutil
import subprocess

import jsonschema
import kubernetes_validate
import pytest

from manifests import CUSTOM, DEPLOY, compose, kubernetes
from process import PATIENCE, ROOT, environment, parkade

KUBERNETES = kubernetes()
COMPOSE = compose()
# The last writes of a server that has drained.
LAST_WRITES = 10
PORT = 1234


def the(kind: str) -> dict:
    (found,) = [one for one in KUBERNETES if one["kind"] == kind]
    return found


def pod() -> dict:
    return the("Deployment")["spec"]["template"]


def container() -> dict:
    (only,) = pod()["spec"]["containers"]
    return only


def named(one: dict) -> str:
    return f"{one['kind']}-{one['metadata']['name']}"


@pytest.mark.parametrize("one", KUBERNETES, ids=named)
def test_kubernetes_knows_every_field_of_the_manifests(one):
    if one["kind"] in CUSTOM:
        jsonschema.validate(one, CUSTOM[one["kind"]])
    else:
        kubernetes_validate.validate(one, kubernetes_validate.latest_version(), strict=True)


def test_a_field_that_kubernetes_does_not_know_would_be_found():
    for kind, error in [("Deployment", kubernetes_validate.ValidationError), ("InferencePool", jsonschema.ValidationError)]:
        wrong = the(kind) | {"spec": the(kind)["spec"] | {"selektor": {}}}
        with pytest.raises(error):
            test_kubernetes_knows_every_field_of_the_manifests(wrong)


def test_what_selects_the_pods_selects_them_and_by_ports_that_they_have():
    labels = pod()["metadata"]["labels"]
    selectors = [the("Service")["spec"]["selector"]]
    for kind in ("Deployment", "PodDisruptionBudget", "InferencePool"):
        selectors.append(the(kind)["spec"]["selector"]["matchLabels"])
    assert all(selector.items() <= labels.items() for selector in selectors), selectors
    # A ServiceMonitor finds Services.
    assert the("ServiceMonitor")["spec"]["selector"]["matchLabels"].items() <= the("Service")["metadata"]["labels"].items()
    (port,) = container()["ports"]
    assert port == {"name": "http", "containerPort": PORT}
    assert the("InferencePool")["spec"]["targetPorts"] == [{"number": PORT}]
    (of_service,) = the("Service")["spec"]["ports"]
    assert of_service["targetPort"] == "http"
    assert the("ServiceMonitor")["spec"]["endpoints"][0]["port"] == of_service["name"]


def test_probes_and_prometheus_ask_for_paths_that_the_server_has(server):
    probes = [container()[probe]["httpGet"] for probe in ("livenessProbe", "readinessProbe")]
    assert {probe["port"] for probe in probes} == {"http"}
    paths = [probe["path"] for probe in probes] + [the("ServiceMonitor")["spec"]["endpoints"][0]["path"]]
    assert paths == ["/health", "/health/ready", "/metrics"]
    assert [server.get(path).status_code for path in paths] == [200] * 3


def drain_seconds(arguments: list[str]) -> int:
    return int(re.search(r"--drain-seconds[= ](\d+)", " ".join(arguments)).group(1))


def test_a_server_has_the_time_to_drain():
    ends_within = pod()["spec"]["terminationGracePeriodSeconds"]
    waits_before = container()["lifecycle"]["preStop"]["sleep"]["seconds"]
    # Proxies are told after two failed probes at most, and by the Service at once.
    probe = container()["readinessProbe"]
    assert waits_before >= probe["periodSeconds"] * probe["failureThreshold"]
    assert ends_within >= waits_before + drain_seconds(container()["args"]) + LAST_WRITES
    for node in nodes():
        service = COMPOSE["services"][node]
        grace = int(service["stop_grace_period"].removesuffix("s"))
        assert grace >= drain_seconds(service["command"]) + LAST_WRITES


def nodes() -> list[str]:
    return [name for name, service in COMPOSE["services"].items() if service.get("command", [])[:1] == ["serve"]]


def filled_in(text: str) -> str:
    """A text of Compose's with its variables at their defaults."""
    return re.sub(r"\$\{\w+(?::[-?]([^}]*))?\}", lambda found: found.group(1) or "", text)


def command_lines() -> dict[str, list[str]]:
    lines = {name: [filled_in(word) for word in COMPOSE["services"][name]["command"]] for name in [*nodes(), "model"]}
    (fetch,) = pod()["spec"]["initContainers"]
    return lines | {"container": container()["args"], "init container": fetch["args"]}


def test_the_binary_takes_every_command_line():
    known = parkade("pull", "--list").stdout.decode().split()
    for where, line in command_lines().items():
        if line[0] == "serve":
            done = parkade(*line, "--print-config")
            assert done.returncode == 0, f"{where}: {done.stderr.decode()}"
            (model,) = re.findall(r"--model[= ](\S+)", " ".join(line))
        else:
            assert line[0] == "pull", where
            model = line[1]
        assert model in known, f"{where}: {model} is none of {known}"


def variables() -> dict[str, str]:
    """Settings that come from the environment: the image's, Compose's and Kubernetes'."""
    docker = (DEPLOY / "Dockerfile").read_text()
    (line,) = re.findall(r"^ENV (.*)$", docker, re.M)
    found = dict(word.split("=", 1) for word in line.split())
    for node in nodes():
        found |= COMPOSE["services"][node]["environment"]
    return found | {one["name"]: "" for one in container()["env"]}


def test_the_binary_knows_every_variable():
    flags = re.findall(r"--([a-z-]+)", parkade("serve", "--help").stdout.decode())
    settings = {"PARKADE_" + flag.upper().replace("-", "_") for flag in flags} | {"PARKADE_HOME"}
    assert set(variables()) <= settings
    of_image = {name: value for name, value in variables().items() if name in ("PARKADE_HOST", "PARKADE_LOG_FORMAT")}
    done = parkade("serve", "--print-config", env=environment(**of_image))
    assert done.returncode == 0, done.stderr.decode()
    assert 'host = "0.0.0.0"' in done.stdout.decode() and 'log-format = "json"' in done.stdout.decode()


def test_secrets_have_the_keys_that_are_asked_for():
    secret = the("Secret")
    for one in container()["env"]:
        reference = one["valueFrom"]["secretKeyRef"]
        assert reference["name"] == secret["metadata"]["name"]
        assert reference["key"] in secret["stringData"]
    assert re.fullmatch(r"postgres://\w+:\w+@[\w.-]+:\d+/\w+", secret["stringData"]["store"])


def test_the_servers_know_the_objectives_of_the_gateway():
    objectives = {one["metadata"]["name"]: one["spec"]["priority"] for one in KUBERNETES if one["kind"] == "InferenceObjective"}
    (told,) = [word.split("=", 1)[1] for word in container()["args"] if word.startswith("--gateway-objectives=")]
    classes = dict(pair.split("=") for pair in told.split(","))
    assert classes.keys() == objectives.keys()
    # What goes first in the gateway goes first here.
    order = ["low", "normal", "high"]
    assert sorted(classes, key=lambda name: order.index(classes[name])) == sorted(objectives, key=objectives.get)
    for one in KUBERNETES:
        if one["kind"] == "InferenceObjective":
            assert one["spec"]["poolRef"]["name"] == the("InferencePool")["metadata"]["name"]


def test_compose_names_what_is_there():
    services = COMPOSE["services"]
    for name, service in services.items():
        for other in service.get("depends_on", []):
            assert other in services, f"{name}: {other}"
        for volume in service.get("volumes", []):
            source, target = filled_in(volume).split(":")[:2]
            there = (DEPLOY / source).exists() if source.startswith(".") else source in COMPOSE["volumes"]
            assert there and target.startswith("/"), f"{name}: {volume}"
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), f"{name}: {port} is open to everybody"
    build = services[nodes()[0]]["build"]
    context = (DEPLOY / build["context"]).resolve()
    assert context == ROOT and (context / build["dockerfile"]).exists()


def test_nginx_and_prometheus_of_compose_know_all_servers():
    places = [f"{node}:{PORT}" for node in nodes()]
    assert len(places) == 3
    nginx = (DEPLOY / "nginx.conf").read_text()
    assert re.findall(r"^\s+server (\S+:\d+) ", nginx, re.M) == places
    (listens,) = re.findall(r"^\s+listen (\d+);", nginx, re.M)
    assert COMPOSE["services"]["nginx"]["ports"] == [f"127.0.0.1:{listens}:{listens}"]
    prometheus = (DEPLOY / "prometheus" / "compose.yml").read_text()
    assert re.findall(r'"(\S+:\d+)"', prometheus) == places


def test_hadolint_accepts_the_dockerfile_and_it_runs_as_the_user_of_the_manifests():
    hadolint = shutil.which("hadolint", path=str(ROOT / ".venv" / "bin"))
    assert hadolint, "hadolint is missing; `scripts/setup tests` installs it"
    docker = DEPLOY / "Dockerfile"
    command = [hadolint, "--config", str(DEPLOY / ".hadolint.yaml"), str(docker)]
    checked = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    security = pod()["spec"]["securityContext"]
    user = f"{security['runAsUser']}:{security['runAsGroup']}"
    assert re.findall(r"^USER (\S+)$", docker.read_text(), re.M) == [user]
    assert security["runAsNonRoot"] is True


def test_the_image_is_built_of_all_that_cargo_reads():
    """Of the repository, Docker is given what `.dockerignore` excepts from its `*`."""
    given = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert given >= {"Cargo.toml", "Cargo.lock", "crates"}
    assert all((ROOT / path).exists() for path in given)
    outside = re.findall(r'path = "(?!crates/)([^"]+)"', (ROOT / "Cargo.toml").read_text())
    assert not outside, outside
    (copied,) = re.findall(r"cargo build .*&& cp (\S+) ", (DEPLOY / "Dockerfile").read_text())
    assert copied == "target/release/parkade"
