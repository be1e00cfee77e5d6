"""Turn notebooks into pipelines: a run equals the notebook, or nbpipe says why not."""
