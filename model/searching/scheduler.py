"""Runs the trials of a search: several runs at once, each on its device."""

import time
from collections.abc import Callable

from model.run.run_folder import RunFolder
from model.searching.plan import Plan
from model.searching.processes import Job
from model.searching.proposals import Proposals
from model.searching.pruning import mean_by_step, reason_to_prune
from model.searching.trials import (
    Trial,
    is_finished,
    make_trial,
    mark_pruned,
    mean_and_deviation,
    prepare_run,
    pruned_file,
    read_outcome,
    reason_of,
)
from model.training.supervisor import Evaluation, EvaluationWatch, Watched
from runtime.log import Log
from runtime.stopping import StopRequest

_INTERVAL = 0.2  # seconds between checks of the processes


class Scheduler:
    """Runs all trials, except for the runs that an earlier search has finished.

    Attributes:
        trials: the trials proposed so far.
        failures: the errors of the runs that failed in this process.
    """

    def __init__(
        self, plan: Plan, proposals: Proposals, watched: Watched, devices: list[str], *, prune: bool, log: Log
    ) -> None:
        self._plan, self._proposals, self._watched = plan, proposals, watched
        self._devices, self._prune, self._log = devices, prune, log
        self.trials: list[Trial] = []
        self.failures: dict[RunFolder, str] = {}
        self._asked: list[Trial] = []  # the same trial may be proposed twice
        self._told = 0
        self._waiting: list[tuple[Trial, RunFolder]] = []
        self._jobs: list[tuple[Trial, Job] | None] = [None] * plan.parallel
        self._watches: dict[RunFolder, EvaluationWatch] = {}

    def run(self, changed: Callable[[], object]) -> None:
        """Runs until all trials have ended; calls `changed` whenever a run has ended.

        Raises:
            UserError: when a run folder has other parameters.
            KeyboardInterrupt: after SIGINT or SIGTERM, once all trainings have saved.
        """
        self._propose()
        if any(is_finished(run) for trial in self.trials for run in trial.runs):
            self._log.line(f"resuming: {self._progress()}")
        with StopRequest() as stop:
            try:
                while self._waiting or any(self._jobs):
                    if stop.requested:
                        self._log.line("stopping: the trainings save and end")
                        raise KeyboardInterrupt
                    self._fill()
                    if self._look():
                        changed()
                    self._propose()
                    time.sleep(_INTERVAL if any(self._jobs) else 0)
            finally:
                jobs = [job for _, job in filter(None, self._jobs)]
                for job in jobs:
                    job.terminate()
                for job in jobs:
                    job.wait()
                if stop.requested:
                    self._log.line(f"{self._progress()}; run the same command again to resume")

    def _progress(self) -> str:
        done = sum(is_finished(run) for trial in self.trials for run in trial.runs)
        return f"{done} of {self._proposals.count * self._plan.seeds} runs are done"

    def _propose(self) -> None:
        """Adds the trials that can be proposed with the results so far."""
        while len(self._asked) < self._proposals.count:
            while self._told <= len(self._asked) - self._proposals.lag:
                trial = self._asked[self._told]
                if not self._has_ended(trial):
                    return
                outcomes = [read_outcome(run) for run in trial.runs if run not in self.failures]
                values = [outcome.value for outcome in outcomes if outcome]
                self._proposals.tell(mean_and_deviation(values)[0] if values else None)
                self._told += 1
            self._add(self._proposals.ask())

    def _add(self, values: dict[str, object]) -> None:
        plan = self._plan
        trial = make_trial(len(self.trials) + 1, values, plan.searched, plan.parent, plan.seed_values)
        known = {each.name: each for each in self.trials}
        self._asked.append(known.get(trial.name, trial))
        if trial.name in known:
            return
        for seed, run in zip(plan.seed_values, trial.runs, strict=True):
            prepare_run(run, plan.params | values | {"seed": seed})
            if not self._prune:
                pruned_file(run).unlink(missing_ok=True)
        self.trials.append(trial)
        # The runs of a trial are neighbours in the queue, so the first trials are complete early.
        self._waiting += [(trial, run) for run in trial.runs if not is_finished(run)]

    def _has_ended(self, trial: Trial) -> bool:
        working = [each for each, _ in [*self._waiting, *filter(None, self._jobs)]]
        return trial not in working

    def _fill(self) -> None:
        """Starts a waiting run in each free slot."""
        for slot, taken in enumerate(self._jobs):
            while taken is None and self._waiting:
                trial, run = self._waiting.pop(0)
                if reason_of(trial):
                    continue
                device = self._devices[slot % len(self._devices)]
                self._log.line(f"{run.folder.name}: started{'' if device == 'auto' else f' on {device}'}")
                taken = self._jobs[slot] = trial, Job(run, device)

    def _look(self) -> bool:
        """Checks the running runs; returns whether one has ended."""
        ended = False
        for slot, (trial, job) in [(slot, taken) for slot, taken in enumerate(self._jobs) if taken]:
            failure = job.look()
            pruned = self._reason_to_prune(trial, job.run) if failure is None and self._prune else None
            if failure is None and pruned is None:
                continue
            if pruned:
                mark_pruned(job.run, pruned)  # first: so a search killed now knows it when resumed
                job.stop()
            if failure:
                self.failures[job.run] = failure
            self._jobs[slot], ended = None, True
            self._log.line(f"{job.run.folder.name}: {self._describe(job.run, failure, pruned)}")
        return ended

    def _describe(self, run: RunFolder, failure: str | None, pruned: str | None) -> str:
        if failure:
            return f"failed: {failure}"
        outcome = read_outcome(run)
        best = f"best {self._watched} {outcome.value:.4g} at step {outcome.step}" if outcome else "not evaluated"
        return f"pruned ({pruned}); {best}" if pruned else f"done; {best}"

    def _reason_to_prune(self, trial: Trial, run: RunFolder) -> str | None:
        """Why to prune a run; None also if its training has ended, because pruning would save nothing."""
        if run.done.exists():
            return None
        if reason := reason_of(trial):  # another seed was pruned
            return reason
        others = [
            mean_by_step([self._seen(each) for each in other.runs]) for other in self.trials if other is not trial
        ]
        return reason_to_prune(self._seen(run), others)

    def _seen(self, run: RunFolder) -> list[Evaluation]:
        """The evaluations of a run so far."""
        if run not in self._watches:
            self._watches[run] = EvaluationWatch(run, run.load_params(), self._watched)
        self._watches[run].news()
        return self._watches[run].seen
