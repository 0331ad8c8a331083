"""What starts a run: this machine (`local`), or a cluster (`slurm` and what belongs to it)."""
