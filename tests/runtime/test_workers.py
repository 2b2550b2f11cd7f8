"""Which worker a process is: options, TF_CONFIG, SLURM."""

import json

import pytest
from tensorflow.python.distribute.cluster_resolver.slurm_cluster_resolver import SlurmClusterResolver

from runtime.errors import UserError
from runtime.workers import Workers, find_workers


def tf_config(kind, index, **cluster):
    return {"TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}})}


def srun(task, of, nodes, per_node, **more):
    step = {"PROCID": task, "STEP_NUM_TASKS": of, "STEP_NODELIST": nodes, "STEP_TASKS_PER_NODE": per_node, "JOB_ID": 7}
    return {f"SLURM_{name}": str(value) for name, value in (step | more).items()}


def test_options_come_before_the_environment():
    found = find_workers(1, "a:1,[::1]:2", tf_config("worker", 0, worker=["c:3"]))
    assert found == Workers(1, 2, ("a:1", "[::1]:2"), "--worker")
    assert not found.chief
    assert found.name(0) == "worker 0 (a:1)"


def test_the_chief_of_a_tf_config_is_number_0():
    cluster = {"chief": ["a:1"], "worker": ["b:1", "c:1"], "evaluator": ["d:1"]}
    addresses = ("a:1", "b:1", "c:1")
    assert find_workers(environ=tf_config("chief", 0, **cluster)) == Workers(0, 3, addresses, "TF_CONFIG")
    assert find_workers(environ=tf_config("worker", 1, **cluster)) == Workers(2, 3, addresses, "TF_CONFIG")
    assert find_workers(environ=tf_config("worker", 0, worker=["a:1"])) == Workers(0, 1, ("a:1",), "TF_CONFIG")


def test_nothing_describes_workers():
    for environ in ({}, {"TF_CONFIG": ""}, {"TF_CONFIG": "{}"}, {"SLURM_JOB_ID": "7", "SLURM_PROCID": "0"}):
        assert find_workers(environ=environ) is None


@pytest.mark.parametrize(
    ("nodes", "first"),
    [
        ("host", "host"),
        ("n[1-2]", "n1"),
        ("n[03,05-07],m1", "n03"),
        ("rack[1-2]n[3-4]", "rack1n3"),
        ("a-b,c", "a-b"),
    ],
)
def test_the_chief_of_a_slurm_step_is_on_the_first_node(nodes, first):
    found = find_workers(environ=srun(3, 4, nodes, "2(x2)", LOCALID=1) | {"SLURMD_NODENAME": "n2"})
    assert found == Workers(3, 4, (f"{first}:20112", "", "", "n2:20113"), "SLURM")
    chief = find_workers(environ=srun(0, 4, nodes, "2(x2)", LOCALID=0) | {"SLURMD_NODENAME": first})
    assert chief.addresses[0] == f"{first}:20112"


def test_two_jobs_on_a_node_have_ports_of_their_own():
    ports = set()
    for job in range(7, 27):
        for task in range(16):
            environ = srun(task, 16, "n1", "16", LOCALID=task) | {"SLURM_JOB_ID": str(job), "SLURMD_NODENAME": "n1"}
            ports.add(find_workers(environ=environ).addresses[task])
    assert len(ports) == 20 * 16


def test_tensorflow_finds_the_same_nodes(monkeypatch):
    """Where its order of nodes is right: it puts n10 before n2."""
    environ = srun(0, 4, "n[1-2]", "2(x2)")
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    theirs = SlurmClusterResolver(port_base=20112, auto_set_gpu=False, gpus_per_node=2, gpus_per_task=1)
    for task, address in enumerate(theirs.cluster_spec().as_dict()["worker"]):
        node = "n1" if task < 2 else "n2"
        found = find_workers(environ=srun(task, 4, "n[1-2]", "2(x2)", LOCALID=task % 2) | {"SLURMD_NODENAME": node})
        assert found.addresses[task] == address


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ((0, None, {}), "--worker and --workers belong together"),
        ((None, "a:1,b:1", {}), "--worker and --workers belong together"),
        ((2, "a:1,b:1", {}), "there are 2 workers, with numbers 0 to 1"),
        ((-1, "a:1,b:1", {}), "there are 2 workers, with numbers 0 to 1"),
        ((0, "a:1,a:1", {}), "an address occurs twice; each worker needs its own"),
        ((0, "a,b:1", {}), "'a' is no address; write host:port, such as host0:2222"),
        ((0, "a:70000,b:1", {}), "'a:70000' is no address"),
        ((0, "http://a:1,b:1", {}), "'http://a:1' is no address"),
        ((None, None, {"TF_CONFIG": "nonsense"}), "TF_CONFIG is invalid; it must be like {"),
        ((None, None, {"TF_CONFIG": "[]"}), "TF_CONFIG is invalid"),
        ((None, None, {"TF_CONFIG": '{"cluster": {"worker": 3}}'}), "TF_CONFIG is invalid"),
        ((None, None, tf_config("evaluator", 0, worker=["a:1"])), "only 'chief' and 'worker' train"),
        ((None, None, tf_config("worker", 2, worker=["a:1", "b:1"])), "TF_CONFIG: worker 2 of 2; they count from 0"),
        ((None, None, tf_config("worker", 0, chief=["a:1", "b:1"], worker=["c:1"])), "TF_CONFIG has 2 chiefs"),
        ((None, None, {"TF_CONFIG": '{"cluster": {"worker": ["a:1"]}, "task": {"index": Infinity}}'}), "is invalid"),
        ((None, None, srun(5, 2, "n1", "2")), "SLURM_PROCID=5, SLURM_STEP_NUM_TASKS=2: tasks count from 0"),
        ((None, None, srun("x", 2, "n1", "2")), "SLURM_PROCID=x, .*: these must be numbers"),
    ],
)
def test_invalid_descriptions(call, message):
    worker, addresses, environ = call
    with pytest.raises(UserError, match=message):
        find_workers(worker, addresses, environ)
