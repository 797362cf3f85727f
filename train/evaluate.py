"""How good a model is on labelled photos: `skinapp evaluate` by its name in train/.

    python -m train.evaluate --images DIR --labels CSV [--part report] [--model DIR] [--json FILE] [--predictions FILE]

`--part report` takes the rows that have it in the column `part`, as in model/split.csv.
"""

import sys

from skinapp.evaluate import main

if __name__ == "__main__":
    sys.exit(main())
