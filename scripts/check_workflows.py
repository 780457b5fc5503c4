"""Checks of the workflows that their schema and zizmor do not make.

- An action's pin is a full commit, and the version stands beside it.
- A script that a step calls exists and may be executed.
- What a step types into a shell is as clean as our scripts (shellcheck).
- A job that scans knows no secret and may write nothing but its findings.

Called by scripts/lint, with shellcheck in the PATH.
"""

import re
import os
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
SCANS = re.compile(r"codeql|trivy|osv-scanner|dependency-review|scripts/lint")
PINNED = re.compile(r"uses: \S+@[0-9a-f]{40} # v\d+\.\d+\.\d+$")

problems: list[str] = []


def check_pins(path: Path) -> None:
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if re.match(r"\s*(- )?uses:", line) and not PINNED.search(line):
            problems.append(f"{path.name}:{number}: not pinned by commit with its version beside it: {line.strip()}")


def check_step(where: str, step: dict) -> None:
    run = step.get("run")
    if run is None:
        return
    for script in re.findall(r"(?:^|\s)((?:scripts|\.ci)/[\w.-]+)", run):
        if not os.access(ROOT / script, os.X_OK):
            problems.append(f"{where}: {script} is not there to be run")
    if "${{" in run:
        problems.append(f"{where}: an expression is pasted into a shell: pass it in `env`")
    # As GitHub's runner starts bash.
    script = f"#!/bin/bash\nset -eo pipefail\n{run}\n"
    command = ["shellcheck", "--shell", "bash", "-"]
    found = subprocess.run(command, input=script, capture_output=True, text=True)
    if found.returncode:
        problems.append(f"{where}:\n{found.stdout}")


def check_job(where: str, job: dict) -> None:
    text = yaml.safe_dump(job)
    allowed = job.get("permissions")
    if allowed is None:
        problems.append(f"{where}: says nothing of permissions")
    if SCANS.search(text):
        if "secrets." in text:
            problems.append(f"{where}: scans and knows a secret")
        writes = {scope for scope, right in (allowed or {}).items() if right == "write"}
        if writes - {"security-events"}:
            problems.append(f"{where}: scans and may write {sorted(writes)}")
    if "timeout-minutes" not in job:
        problems.append(f"{where}: may run for six hours")
    for number, step in enumerate(job["steps"], 1):
        check_step(f"{where}, step {step.get('name', number)}", step)


def main() -> int:
    for path in sorted((ROOT / ".github/workflows").glob("*.yml")):
        check_pins(path)
        workflow = yaml.safe_load(path.read_text())
        if workflow.get("permissions") != {}:
            problems.append(f"{path.name}: permits something to all jobs")
        if "concurrency" not in workflow:
            problems.append(f"{path.name}: does not limit its concurrency")
        for name, job in workflow["jobs"].items():
            check_job(f"{path.name}: {name}", job)
    for problem in problems:
        print(f"check_workflows: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
