"""Checks the Kubernetes manifests: what schemas know, and what only their author can know.

    scripts/check_manifests.py DIRECTORY    renders every kustomization into DIRECTORY, checks each, prints what is wrong

Schemas see a document at a time. Here also: that selectors find pods, that named ports exist, that both ways of running
a cache run the same pod, that the proxy's configuration names the pods there are, and that versions agree.

`scripts/lint` calls this with the Python of its environment, and then shows DIRECTORY to checkov. Needs kubectl.
"""

import subprocess
import sys
import tomllib
from pathlib import Path

import kubernetes_validate
import yaml

ROOT = Path(__file__).resolve().parent.parent
K8S = ROOT / "k8s"
# Oldest and newest that the schemas' package and today's clouds have in common.
VERSIONS = ["1.32", "1.35"]
# Kinds of the Prometheus operator: no schema for them here. Their references are checked below all the same.
FOREIGN = {"ServiceMonitor", "PrometheusRule"}

problems: list[str] = []


def expect(holds: bool, sentence: str) -> None:
    if not holds:
        problems.append(sentence)


def render(directory: Path) -> list[dict]:
    command = ["kubectl", "kustomize", str(directory)]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [document for document in yaml.safe_load_all(text) if document]


def name_of(document: dict) -> str:
    return f"{document['kind']}/{document['metadata']['name']}"


def of_kind(documents: list[dict], *kinds: str) -> list[dict]:
    return [document for document in documents if document["kind"] in kinds]


def templates(documents: list[dict]) -> list[dict]:
    return [workload["spec"]["template"] for workload in of_kind(documents, "Deployment", "StatefulSet")]


def is_matched(labels: dict, selector: dict) -> bool:
    return selector.items() <= labels.items()


def pods_of(documents: list[dict], selector: dict) -> list[dict]:
    return [pod for pod in templates(documents) if is_matched(pod["metadata"]["labels"], selector)]


def port_names(pod: dict) -> set[str]:
    return {port["name"] for container in pod["spec"]["containers"] for port in container.get("ports", [])}


def check_schemas(where: str, documents: list[dict]) -> None:
    for document in documents:
        if document["kind"] in FOREIGN:
            continue
        for version in VERSIONS:
            try:
                kubernetes_validate.validate(document, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                path = ".".join(str(step) for step in error.absolute_path)
                problems.append(f"{where}: {name_of(document)} against {version}: {path}: {error.message}")


def check_references(where: str, documents: list[dict], pods_from: list[dict]) -> None:
    """Each selector finds pods, and each port that is named is theirs."""
    for workload in of_kind(documents, "Deployment", "StatefulSet"):
        pod = workload["spec"]["template"]
        here = f"{where}: {name_of(workload)}"
        expect(is_matched(pod["metadata"]["labels"], workload["spec"]["selector"]["matchLabels"]), f"{here} does not select its own pods")
        for container in pod["spec"]["containers"]:
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                action = container.get(probe, {})
                port = action.get("httpGet", action.get("tcpSocket", {})).get("port")
                expect(port is None or port in port_names(pod), f"{here}: {probe} asks an unknown port {port}")
        for volume in pod["spec"].get("volumes", []):
            if "emptyDir" in volume:
                expect(volume["emptyDir"] == {"medium": "Memory"}, f"{here}: the volume {volume['name']} is no memory")
                continue
            if "secret" in volume:
                # It is made by whoever has it.
                continue
            configs = [name_of(config) for config in of_kind(documents, "ConfigMap")]
            wanted = f"ConfigMap/{volume['configMap']['name']}"
            expect(wanted in configs, f"{here} mounts {wanted}, which is not there")
    for service in of_kind(documents, "Service"):
        here = f"{where}: {name_of(service)}"
        pods = pods_of(pods_from, service["spec"]["selector"])
        expect(bool(pods), f"{here} finds no pods")
        for port in service["spec"]["ports"]:
            for pod in pods:
                expect(port["targetPort"] in port_names(pod), f"{here}: no pod has a port {port['targetPort']}")
    for budget in of_kind(documents, "PodDisruptionBudget"):
        expect(bool(pods_of(pods_from, budget["spec"]["selector"]["matchLabels"])), f"{where}: {name_of(budget)} finds no pods")
    for policy in of_kind(documents, "NetworkPolicy"):
        here = f"{where}: {name_of(policy)}"
        pods = pods_of(pods_from, policy["spec"]["podSelector"]["matchLabels"])
        expect(bool(pods), f"{here} guards no pods")
        for rule in policy["spec"].get("ingress", []):
            for port in rule["ports"]:
                for pod in pods:
                    expect(port["port"] in port_names(pod), f"{here}: no pod has a port {port['port']}")
    for monitor in of_kind(documents, "ServiceMonitor"):
        selector = monitor["spec"]["selector"]["matchLabels"]
        services = [service for service in of_kind(documents, "Service") if is_matched(service["metadata"]["labels"], selector)]
        expect(len(services) == 1, f"{where}: {name_of(monitor)} finds {len(services)} services, not one")
        for service in services:
            names = {port["name"] for port in service["spec"]["ports"]}
            for endpoint in monitor["spec"]["endpoints"]:
                expect(endpoint["port"] in names, f"{where}: {name_of(monitor)} scrapes an unknown port {endpoint['port']}")


def check_rendered(base: list[dict]) -> None:
    """k8s/deployment.yaml says what the base says."""
    committed = [document for document in yaml.safe_load_all((K8S / "deployment.yaml").read_text()) if document]
    expected = of_kind(base, "Deployment", "Service")
    expect(committed == expected, "k8s/deployment.yaml is not what k8s/base renders: run scripts/render-manifests")


def check_same_pod(base: list[dict], cluster: list[dict]) -> None:
    """The cluster's caches are the base's, but for where they may stand, and that each begins empty: while one was away
    the others had its keys."""
    [one] = of_kind(base, "Deployment")
    [three] = of_kind(cluster, "StatefulSet")
    pod = dict(three["spec"]["template"]["spec"])
    pod.pop("topologySpreadConstraints")
    expect(pod == without_arena(one["spec"]["template"]["spec"]), "the StatefulSet's pod is not the base's Deployment's")


def without_arena(pod: dict) -> dict:
    """The same pod with nothing that outlives its container."""
    [container] = pod["containers"]
    [path] = [a.partition("=")[2] for a in container["args"] if a.startswith("--arena=")]
    [mount] = [mount for mount in container["volumeMounts"] if mount["name"] == "arena"]
    expect(path.startswith(mount["mountPath"] + "/"), f"the arena {path} is not on the volume at {mount['mountPath']}")
    rest = [mount for mount in container["volumeMounts"] if mount["name"] != "arena"]
    container = dict(container, args=[a for a in container["args"] if not a.startswith("--arena=")], volumeMounts=rest)
    if not rest:
        container.pop("volumeMounts")
    # Which is why a container can start anew for another limit.
    [policy] = container.pop("resizePolicy")
    expect(policy == {"resourceName": "memory", "restartPolicy": "RestartContainer"}, f"a resize is {policy}")
    pod = dict(pod, containers=[container], volumes=[volume for volume in pod["volumes"] if volume["name"] != "arena"])
    if not pod["volumes"]:
        pod.pop("volumes")
    return pod


def check_warm(base: list[dict], warm: list[dict]) -> None:
    """The cache with a snapshot is the base's, but for the snapshot; and there is time to write it."""
    [one] = of_kind(base, "Deployment")
    [kept] = of_kind(warm, "StatefulSet")
    expect(not of_kind(warm, "Deployment"), "the warm overlay has the base's Deployment, too")
    before, after = (without_arena(workload["spec"]["template"]["spec"]) for workload in (one, kept))
    [container] = after["containers"]
    path = next((a.partition("=")[2] for a in container["args"] if a.startswith("--snapshot=")), "")
    [mount] = container["volumeMounts"]
    claims = [claim["metadata"]["name"] for claim in kept["spec"]["volumeClaimTemplates"]]
    expect(path.startswith(mount["mountPath"] + "/"), f"the snapshot {path} is not on the volume at {mount['mountPath']}")
    expect([mount["name"]] == claims, f"the pod mounts {mount['name']}, and the volumes are {claims}")
    # 3 s of delay, 10 s of draining, 20 s of writing.
    expect(after["terminationGracePeriodSeconds"] > 33, "the warm pod has no time to write its snapshot")
    same = dict(container, args=[a for a in container["args"] if not a.startswith("--snapshot=")])
    same.pop("volumeMounts")
    pod = dict(after, containers=[same], terminationGracePeriodSeconds=before["terminationGracePeriodSeconds"])
    expect(pod == before, "the warm pod is not the base's, but for its snapshot")


def check_ring(cluster: list[dict]) -> None:
    """The proxy's servers are the StatefulSet's pods, by the names that its headless Service gives them."""
    [caches] = of_kind(cluster, "StatefulSet")
    services = {service["metadata"]["name"]: service for service in of_kind(cluster, "Service")}
    headless = services.get(caches["spec"]["serviceName"])
    expect(headless is not None and headless["spec"].get("clusterIP") == "None", "the StatefulSet's service is not headless")
    [config] = of_kind(cluster, "ConfigMap")
    text = config["data"]["twemproxy.yml"]
    expect(text == (K8S / "overlays/cluster/twemproxy.yml").read_text(), "the proxies do not get the file that is tested")
    [(_, pool)] = yaml.safe_load(text).items()
    name, service = caches["metadata"]["name"], caches["spec"]["serviceName"]
    expected = [f"{name}-{no}.{service}:7171:1 node{no}" for no in range(caches["spec"]["replicas"])]
    expect(pool["servers"] == expected, f"twemproxy.yml names {pool['servers']}, and the pods are {expected}")
    ports = {port["containerPort"] for pod in templates(cluster) for c in pod["spec"]["containers"] for port in c["ports"]}
    expect(int(pool["listen"].rsplit(":", 1)[1]) in ports, "no container has the port that twemproxy.yml listens on")


def check_versions(everything: list[dict]) -> None:
    """The image is this version's, and all of it comes from one place."""
    version = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]
    images = {c["image"] for pod in templates(everything) for c in pod["spec"]["containers"]}
    caches = {image for image in images if "/twemproxy:" not in image}
    expect(caches == {f"ghcr.io/flagstone-cache/flagstone:{version}"}, f"images {caches}, and Cargo.toml says {version}")


def main() -> int:
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    base = render(K8S / "base")
    cluster = render(K8S / "overlays/cluster")
    monitored = render(K8S / "overlays/monitored")
    warm = render(K8S / "overlays/warm")
    monitor = render(K8S / "components/servicemonitor")
    for name, documents, pods_from in [
        ("base", base, base),
        ("cluster", cluster, cluster),
        ("monitored", monitored, monitored),
        ("warm", warm, warm),
        # It fits the cluster's pods as well.
        ("servicemonitor", monitor, cluster),
    ]:
        check_schemas(name, documents)
        check_references(name, documents, pods_from)
        (out / f"{name}.yaml").write_text(yaml.safe_dump_all(documents))
    check_rendered(base)
    check_same_pod(base, cluster)
    check_warm(base, warm)
    check_ring(cluster)
    check_versions(base + cluster + warm)
    for problem in problems:
        print(f"check_manifests: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
