#!/bin/bash
# A training on several machines under SLURM. It requeues itself until the training is done:
#   sbatch --nodes=4 --gpus-per-node=8 jobs/slurm.sh runs/my_run
# Submit it in the project's folder, which all machines share, with the Python environment active. Options of sbatch
# override the lines below; what follows the run folder goes to train.py.
#SBATCH --job-name=train
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --time=1-00:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=%x-%j.log
# Five minutes before the time limit, all workers finish the step, save and end with exit code 0.
#SBATCH --signal=USR1@300

run=${1:?which run? sbatch jobs/slurm.sh runs/my_run}
srun python train.py --set distribution=multi_worker --model_dir "$@"
code=$?
if [ $code -eq 0 ] && [ ! -e "$run/DONE" ]; then
    echo "stopped before the end: requeued, restart $((${SLURM_RESTART_COUNT:-0} + 1))"
    scontrol requeue "$SLURM_JOB_ID"
fi
exit $code
