"""What an experiment does: one file for each kind of task, one table of all."""
