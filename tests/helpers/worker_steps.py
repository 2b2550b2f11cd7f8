"""Five steps of training with each triplet strategy, as one of several workers: a program for tests.

    python -m helpers.worker_steps OUT PARAMS WORKER HOST:PORT,HOST:PORT

Writes OUT/WORKER.npz: for each strategy and step the loss and Adam's first moments, which are sums of gradients; and
the weights in the end.
"""

import json
import sys
from pathlib import Path

import numpy as np

from dataset.loading.training_set import load_training_set
from model.configuration.loading import check_params
from model.losses import strategies
from model.run.devices import prepare
from model.training.rendezvous import meet
from runtime import plugins
from runtime.workers import find_workers

STEPS = 5
STRATEGIES = plugins.choices(strategies.__name__)


def main(out: Path, values: dict[str, object], worker: int, addresses: str) -> None:
    prepare("cpu", deterministic=True)
    from model.training.cluster import Cluster
    from model.training.curriculum import phase_at
    from model.training.learner import build_learner
    from model.training.loop import feed

    workers = find_workers(worker, addresses)
    several = workers if workers and workers.of > 1 else None
    members = meet(several, {}, print) if several else None
    found, cluster = {}, None
    for strategy in STRATEGIES:
        given = {"sampling": "triplets", "memory_size": 0} if strategy == "basic" else {}  # its triplets are fixed
        params = check_params(values | given | {"triplet_strategy": strategy}, source="test")
        data = load_training_set(params)
        cluster = cluster or Cluster(params, several, members)
        learner = build_learner(params, data, STEPS, cluster, imagenet=False)
        batches = feed(cluster, data, params, 0, STEPS, None)
        for step in range(STEPS):
            images, labels, _ = next(batches)
            result = learner.train_step(images, labels, step, phase_at(params, step))
            found[f"{strategy}/loss/{step}"] = result.scalars[0].numpy()
            for number, moment in enumerate(learner.optimizer._momentums):
                found[f"{strategy}/moment {number}/{step}"] = moment.numpy()
        for number, variable in enumerate([*learner.embedder.variables, *learner.objective.variables]):
            found[f"{strategy}/weights {number}"] = variable.numpy()
    np.savez(out / f"{worker}.npz", **found)


if __name__ == "__main__":
    _, out, values, worker, addresses = sys.argv
    main(Path(out), json.loads(values), int(worker), addresses)
