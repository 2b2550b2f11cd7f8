"""The job files for SLURM and Kubernetes: their scripts run with programs that stand for the cluster's."""

import contextlib
import importlib
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
import yaml
from helpers.commands import ROOT

from runtime.workers import find_workers

SLURM, KUBERNETES = ROOT / "jobs" / "slurm.sh", ROOT / "jobs" / "kubernetes.yaml"
# It stands for train.py: prints its arguments, waits for SIGTERM if there is a file WAIT, and ends as asked.
TRAIN = """#!/bin/bash
echo "$@"
trap 'echo stopped; exit 0' TERM
touch STARTED
while [ -e WAIT ]; do sleep 0.02; done
[ -z "$DONE" ] || touch "$DONE"
exit ${CODE:-0}
"""


@pytest.fixture
def cluster(tmp_path: Path) -> Path:
    """A folder with a run, and with the programs that the jobs start: srun runs its command twice."""
    programs = {
        "python": TRAIN,
        "srun": '#!/bin/bash\n"$@" && "$@"\n',
        "scontrol": '#!/bin/bash\necho scontrol "$@"\n',
    }
    for name, text in programs.items():
        file = tmp_path / "bin" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
        file.chmod(0o755)
    (tmp_path / "runs" / "my_run").mkdir(parents=True)
    return tmp_path


def surroundings(cluster: Path, **values: object) -> dict[str, str]:
    path = f"{cluster / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return os.environ | {"PATH": path} | {name: str(value) for name, value in values.items()}


def containers_line() -> tuple[list[str], dict[str, str]]:
    """What the container of the Kubernetes job runs, and its variables."""
    _, job = yaml.safe_load_all(KUBERNETES.read_text(encoding="utf-8"))
    (container,) = job["spec"]["template"]["spec"]["containers"]
    return [*container["command"], *container["args"]], {each["name"]: each["value"] for each in container["env"]}


@pytest.mark.parametrize(
    ("code", "done", "requeued"), [(0, "", True), (0, "runs/my_run/DONE", False), (2, "", False), (4, "", False)]
)
def test_the_slurm_job_is_requeued_until_the_training_is_done(cluster, code, done, requeued):
    line = ["bash", str(SLURM), "runs/my_run", "--set", "margin=0.5"]
    environment = surroundings(cluster, CODE=code, DONE=done, SLURM_JOB_ID=7)
    job = subprocess.run(line, cwd=cluster, env=environment, capture_output=True, text=True, check=False)
    assert job.returncode == code
    script, *words = job.stdout.splitlines()[0].split()
    assert script == "train.py"
    assert importlib.import_module("train").parse(words).model_dir == "runs/my_run"
    assert ("scontrol requeue 7" in job.stdout) == requeued


def test_the_slurm_job_asks_for_a_signal_in_time():
    options = dict(re.findall(r"^#SBATCH --([\w-]+)(?:=(\S+))?$", SLURM.read_text(encoding="utf-8"), re.M))
    assert {"requeue", "time", "nodes"} <= set(options)
    assert options["signal"] == "USR1@300"  # without B: it goes to the tasks, not to the script, which would end
    assert options["open-mode"] == "append"


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="needs shellcheck")
def test_shellcheck_finds_no_problem(tmp_path):
    script = tmp_path / "container.sh"
    script.write_text(f"#!/bin/bash\n{containers_line()[0][-1]}")
    for file in (SLURM, script):
        assert subprocess.run(["shellcheck", "--severity=warning", file], capture_output=True, text=True).stdout == ""


def test_slurm_accepts_the_job():
    with contextlib.suppress(OSError):
        if subprocess.run(["sinfo"], capture_output=True).returncode == 0:
            line = ["sbatch", "--test-only", "--nodes=1", str(SLURM), "runs/my_run"]
            answer = subprocess.run(line, capture_output=True, text=True)
            assert answer.returncode == 0, answer.stderr
            return
    pytest.skip("needs a SLURM")


def test_the_kubernetes_job_names_its_workers():
    service, job = yaml.safe_load_all(KUBERNETES.read_text(encoding="utf-8"))
    spec, pod = job["spec"], job["spec"]["template"]["spec"]
    assert spec["completionMode"] == "Indexed"
    assert spec["completions"] == spec["parallelism"] == 2
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["selector"] == {"batch.kubernetes.io/job-name": job["metadata"]["name"]}
    assert pod["subdomain"] == service["metadata"]["name"]
    # A pod of an indexed Job has the name of the Job and its index as host name.
    hosts = [f"{job['metadata']['name']}-{i}.{pod['subdomain']}" for i in range(spec["completions"])]
    port = service["spec"]["ports"][0]["port"]
    _, variables = containers_line()
    assert variables["WORKERS"] == ",".join(f"{host}:{port}" for host in hosts)
    assert [find_workers(i, variables["WORKERS"], {}).number for i in range(2)] == [0, 1]
    assert spec["successPolicy"]["rules"] == [{"succeededIndexes": "0"}]

    assert pod["restartPolicy"] == "Never"  # a podFailurePolicy needs it
    assert pod["terminationGracePeriodSeconds"] >= 300
    actions = {
        code: rule["action"]
        for rule in spec["podFailurePolicy"]["rules"]
        for code in rule.get("onExitCodes", {}).get("values", ())
    }
    assert actions == {3: "FailJob", 4: "Ignore", 75: "Ignore"}
    mounted = {each["name"]: each for each in pod["containers"][0]["volumeMounts"]}
    assert set(mounted) == {volume["name"] for volume in pod["volumes"]} == {"data", "runs"}
    assert mounted["data"]["readOnly"]


@pytest.mark.parametrize(
    ("code", "done", "expected"), [(0, "runs/my_run/DONE", 0), (0, "", 75), (2, "", 2), (4, "", 4)]
)
def test_the_kubernetes_job_is_complete_only_when_the_training_is_done(cluster, code, done, expected):
    line, variables = containers_line()
    environment = surroundings(cluster, CODE=code, DONE=done, JOB_COMPLETION_INDEX=1, **variables)
    pod = subprocess.run(line, cwd=cluster, env=environment, capture_output=True, text=True, check=False)
    assert pod.returncode == expected
    assert pod.stdout.split()[-4:] == ["--worker", "1", "--workers", variables["WORKERS"]]


def test_a_kubernetes_pod_passes_sigterm_to_the_training_and_waits_for_it(cluster):
    line, variables = containers_line()
    (cluster / "WAIT").touch()
    environment = surroundings(cluster, JOB_COMPLETION_INDEX=0, **variables)
    with subprocess.Popen(line, cwd=cluster, env=environment, stdout=subprocess.PIPE, text=True) as pod:
        until = time.monotonic() + 20
        while not (cluster / "STARTED").exists() and time.monotonic() < until:
            time.sleep(0.02)
        pod.send_signal(signal.SIGTERM)
        output, _ = pod.communicate(timeout=20)
    assert "stopped" in output
    assert pod.returncode == 75


def test_the_kubernetes_schema_accepts_the_job():
    schema = pytest.importorskip("kubernetes_validate", reason="needs kubernetes-validate")
    for document in yaml.safe_load_all(KUBERNETES.read_text(encoding="utf-8")):
        schema.validate(document, schema.latest_version(), strict=True)
