"""Search of hyperparameters: trials as run folders, each trained and evaluated by the project's own commands."""
