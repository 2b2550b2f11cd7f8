"""A stand-in for train.py, without a network: writes the files of a training run, with a checkpoint at each step.

`margin` controls it: "fail" stops it as if the loss became NaN; a number is a metric of the run. A step takes
`warmup_steps` hundredths of a second, and half a second more if `margin` is 0.05.
"""

import argparse
import fcntl
import json
import signal
import sys
import time
from pathlib import Path


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model_dir", type=Path)
    parser.add_argument("--device")
    args = parser.parse_args()
    run = args.model_dir
    params = json.loads((run / "params.json").read_text())
    lock = open(run / ".train.lock", "w")  # noqa: SIM115 -- held until the end
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    stopped = []

    def stop(number, frame):
        stopped.append(number)
        with open(run / "signals", "a") as file:
            file.write(f"{signal.Signals(number).name}\n")

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    with open(run / "starts", "a") as file:
        file.write(f"{args.device}\n")
    if params["margin"] == "fail":
        print("error: the loss is nan at step 2", file=sys.stderr)
        return 3
    folder = run / "checkpoints"
    folder.mkdir(exist_ok=True)
    (run / "params.resolved.json").write_text(json.dumps(params))
    listed = folder / "checkpoint"
    names = listed.read_text() if listed.exists() else ""
    for step in range(names.count("ckpt"), params["train_iterations"] + 1):
        if stopped:
            return 0
        time.sleep(params["warmup_steps"] / 100 + 0.5 * (params["margin"] == 0.05))
        (folder / f"ckpt-{step}.index").touch()
        names += f'all_model_checkpoint_paths: "ckpt-{step}"\n'
        (folder / ".checkpoint").write_text(names)
        (folder / ".checkpoint").replace(listed)
    (run / "DONE").write_text(f"{params['train_iterations']}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
