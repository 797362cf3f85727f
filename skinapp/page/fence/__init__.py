"""What exists only because Gradio is as it is. An upgrade of Gradio is work in this folder; what it mends itself goes from here.

- `guard`: Gradio serves a cached file to whoever knows its path, a session's results to whoever knows its name, and fetches
  addresses that clients send as files. That is by design: https://github.com/gradio-app/gradio/pull/9156 documents it.
- `events`: a malformed event ends in a bare status 500. We found no issue about it.
- `streams`: an event whose answer overtakes the end of the last stream is never heard of. We found no issue about it.
- `memory`: sessions are kept until an hour after their tab was closed (https://github.com/gradio-app/gradio/pull/7829), those
  of programs without a tab for as long as the process runs; `delete_cache` leaves half-sent files
  (https://github.com/gradio-app/gradio/issues/8098 asks for more control over it).
- `zero_gpu`: the package `spaces` reports to the hub only from Gradio's `launch`, which does not start our page. Gradio is to
  take that over: https://github.com/gradio-app/gradio/pull/13316.
- Below: Gradio asks Matplotlib for its backend at every event, and fails where a thread of ours has pyplot half imported. Where
  the backend is named, nobody looks for it in pyplot. We found no issue about it.
"""

import os

# Importing pyplot instead would cost a quarter of a second before the page is there.
os.environ["MPLBACKEND"] = "agg"
