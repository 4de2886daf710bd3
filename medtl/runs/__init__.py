"""The Run directory, and predicting with it: `medtl.runs.run` has Run, write_run and change_run."""
