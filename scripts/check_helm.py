"""Checks the Helm chart: what it renders is what k8s/ says, and each of its values does what it is there for.

    scripts/check_helm.py DIRECTORY    renders the chart into DIRECTORY, checks it, prints what is wrong

The templates are rendered by scripts/gotemplate.py, which knows as much of them as this chart uses. Where helm is installed it
renders them, too, lints the chart, and both renderings have to be the same; CI has it. `scripts/lint` calls this with the
Python of its environment. Needs kubectl.
"""

import copy
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from shutil import which

import yaml

import check_manifests as manifests
from check_manifests import K8S, ROOT, expect, of_kind
from gotemplate import Renderer

CHART = ROOT / "packaging/helm/flagstone"
RELEASE = "flagstone"
# Labels that only a release has.
OF_RELEASES = {
    "app.kubernetes.io/instance",
    "app.kubernetes.io/version",
    "app.kubernetes.io/managed-by",
    "helm.sh/chart",
}


def merged(values: dict, changes: dict) -> dict:
    """The chart's values with some of them changed, as helm merges them."""
    values = copy.deepcopy(values)
    for key, value in changes.items():
        expect(key in values, f"values.yaml has no {key}")
        is_part = isinstance(value, dict) and isinstance(values.get(key), dict)
        values[key] = merged(values[key], value) if is_part and values[key] else value
    return values


def by_ours(changes: dict) -> list[dict]:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    values = merged(yaml.safe_load((CHART / "values.yaml").read_text()), changes)
    root = {
        "Values": values,
        "Release": {"Name": RELEASE, "Service": "Helm", "Namespace": "default"},
        "Chart": {key[:1].upper() + key[1:]: value for key, value in chart.items()},
    }
    files = {f"files/{file.name}": file.read_text() for file in (CHART / "files").iterdir()}
    renderer = Renderer(root, files)
    renderer.load((CHART / "templates/_names.tpl").read_text())
    documents = []
    for template in sorted((CHART / "templates").glob("*.yaml")):
        nodes = renderer.load(template.read_text())
        documents += [one for one in yaml.safe_load_all(renderer.run(nodes, root, {})) if one]
    return documents


def by_helm(changes: dict) -> list[dict]:
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as values:
        yaml.safe_dump(changes, values)
        values.flush()
        command = ["helm", "template", RELEASE, str(CHART), "--namespace", "default", "--values", values.name]
        text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [document for document in yaml.safe_load_all(text) if document]


def render(changes: dict) -> list[dict]:
    ours = by_ours(changes)
    if which("helm"):
        key = manifests.name_of
        same = sorted(ours, key=key) == sorted(by_helm(changes), key=key)
        expect(same, f"helm renders something else than scripts/gotemplate.py of {changes}")
    return ours


def bare(part):
    """Without what only a release has."""
    if isinstance(part, dict):
        return {key: bare(value) for key, value in part.items() if key not in OF_RELEASES}
    return [bare(value) for value in part] if isinstance(part, list) else part


def named(documents: list[dict]) -> dict:
    return {manifests.name_of(document): bare(document) for document in documents}


def check_same(what: str, ours: list[dict], theirs: list[dict]) -> None:
    """Both have the same documents, and each says the same."""
    one, other = named(ours), named(theirs)
    expect(one.keys() == other.keys(), f"{what}: the chart has {sorted(one)}, and k8s has {sorted(other)}")
    for name in one.keys() & other.keys():
        expect(one[name] == other[name], f"{what}: {name} of the chart is not that of k8s:\n{one[name]}\n{other[name]}")


def container_of(documents: list[dict]) -> dict:
    [pod] = manifests.templates(documents)
    [container] = pod["spec"]["containers"]
    return container


def check_mounts(what: str, documents: list[dict]) -> None:
    """Each file that an argument names lies on a volume, and each volume is there."""
    [pod] = manifests.templates(documents)
    container = container_of(documents)
    mounts = {mount["name"]: mount["mountPath"] for mount in container.get("volumeMounts", [])}
    volumes = {volume["name"] for volume in pod["spec"].get("volumes", [])}
    for workload in of_kind(documents, "StatefulSet"):
        volumes |= {claim["metadata"]["name"] for claim in workload["spec"]["volumeClaimTemplates"]}
    expect(mounts.keys() == volumes, f"{what}: mounts {sorted(mounts)}, volumes {sorted(volumes)}")
    for argument in container["args"]:
        path = argument.partition("=")[2]
        is_there = not path.startswith("/") or any(path.startswith(mount + "/") for mount in mounts.values())
        expect(is_there, f"{what}: {argument} is on no volume")


# What a user may ask for, and what has to stand among the arguments then.
CASES = {
    "logins": ({"auth": {"existingSecret": "logins", "hasUsers": True}}, ["--auth-token-file=/auth/tokens", "--auth-file=/auth/users"]),
    "tokens": ({"auth": {"tokens": ["one", "two"]}}, ["--auth-token-file=/auth/tokens"]),
    "tls": ({"tls": {"existingSecret": "pair"}}, ["--listen=tls:0.0.0.0:7443,tls:[::]:7443", "--tls-cert=/tls/tls.crt"]),
    "tls-only": (
        {"tls": {"existingSecret": "pair", "only": True, "clientCertificates": True}, "arena": False},
        ["--tls-client-ca=/tls/ca.crt"],
    ),
    "admin": ({"admin": {"existingSecret": "page"}, "metrics": {"serviceMonitor": {"enabled": True}}}, ["--admin-token-file=/admin/tokens"]),
    "placed": (
        {
            "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
                {"weight": 1, "podAffinityTerm": {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"a": "b"}}}}]}},
            "nodeSelector": {"disk": "none"},
            "tolerations": [{"operator": "Exists"}],
            "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}],
            "priorityClassName": "high",
            "podLabels": {"team": "a"},
            "podAnnotations": {"note": "b"},
            "imagePullSecrets": [{"name": "registry"}],
            "image": {"tag": "edge"},
            "args": ["--max-item=4m"],
        },
        ["--max-item=4m"],
    ),
    "both-families": (
        {"service": {"type": "LoadBalancer", "ipFamilyPolicy": "PreferDualStack", "ipFamilies": ["IPv6", "IPv4"], "annotations": {"a": "b"}}},
        ["--listen=0.0.0.0:7171,[::]:7171"],
    ),
    "warm": ({"snapshot": {"enabled": True, "storageClassName": "fast"}, "networkPolicy": {"enabled": False}}, ["--snapshot=/var/lib/flagstone/snapshot"]),
    "rules": ({"metrics": {"prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}}}}, []),
}


def check_cases(out: Path) -> None:
    for name, (changes, arguments) in CASES.items():
        documents = render(changes)
        (out / f"helm-{name}.yaml").write_text(yaml.safe_dump_all(documents))
        where = f"helm {name}"
        manifests.check_schemas(where, documents)
        check_mounts(where, documents)
        given = container_of(documents)["args"]
        for argument in arguments:
            expect(argument in given, f"{where}: {argument} is not among {given}")
        if name == "tls-only":
            expect(not any("0.0.0.0:7171" in argument for argument in given), f"{where} has a plain port, too: {given}")
        manifests.check_references(where, documents, documents)


def check_rules() -> None:
    """The rules of Prometheus' operator are those of packaging/prometheus, in both places."""
    rules = (ROOT / "packaging/prometheus/flagstone.rules.yaml").read_text()
    copied = (CHART / "files/flagstone.rules.yaml").read_text()
    expect(copied == rules, "the chart's rules are not packaging/prometheus': run scripts/render-manifests")
    [rule] = of_kind(manifests.render(K8S / "components/prometheusrule"), "PrometheusRule")
    expect(rule["spec"] == yaml.safe_load(rules), "k8s' rules are not packaging/prometheus': run scripts/render-manifests")
    [charted] = of_kind(render(CASES["rules"][0]), "PrometheusRule")
    expect(charted["spec"] == rule["spec"], "the chart's rules are not k8s'")


def check_versions() -> None:
    version = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    expect(chart["version"] == chart["appVersion"] == version, f"the chart's versions are not {version}")


def main() -> int:
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    plain = render({})
    (out / "helm.yaml").write_text(yaml.safe_dump_all(plain))
    check_same("as it is", plain, manifests.render(K8S / "base"))
    manifests.check_schemas("helm", plain)
    manifests.check_references("helm", plain, plain)
    check_same("with a snapshot", render({"snapshot": {"enabled": True}}), manifests.render(K8S / "overlays/warm"))
    scraped = {"metrics": {"serviceMonitor": {"enabled": True}, "prometheusRule": {"enabled": True}}}
    check_same("scraped", render(scraped), manifests.render(K8S / "overlays/monitored"))
    check_cases(out)
    check_rules()
    check_versions()
    if which("helm"):
        subprocess.run(["helm", "lint", "--strict", str(CHART)], check=True)
    else:
        print("check_helm: helm is not installed: rendered by scripts/gotemplate.py alone")
    for problem in manifests.problems:
        print(f"check_helm: {problem}", file=sys.stderr)
    return 1 if manifests.problems else 0


if __name__ == "__main__":
    sys.exit(main())
