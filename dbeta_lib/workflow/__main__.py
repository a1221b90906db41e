"""`python -m dbeta_lib.workflow` with the options of `./run_all.sh`."""

import sys

from dbeta_lib.workflow.run import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
