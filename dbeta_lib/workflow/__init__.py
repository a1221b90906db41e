"""The notebooks in order through papermill: what `./run_all.sh` hands over to.

`run` is the order of events, `state` what is finished and unchanged, `execute` one notebook in its
kernel, `progress` what the user sees meanwhile, `pages` the HTML that remains.
"""
