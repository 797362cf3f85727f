"""All of it in one table: from the start of the process to a folder of photos, each line beside the bare network in the same
run. `ratio` is the line's value over that of the bare network that was measured in turns with it; 5 % and 95 % are quantiles
over the rounds.

python -m benchmarks      # SKINAPP_MODEL names another model
python -m benchmarks.start, .photo, .service, .batches, .folder: a part of it; .archive, .load and .training: see there
"""

import sys

from benchmarks import batches, folder, photo, service, start
from benchmarks.table import command

if __name__ == "__main__":
    sys.exit(command(__doc__, start.lines, photo.lines, service.lines, batches.lines, folder.lines))
