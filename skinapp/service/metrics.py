"""What Prometheus may know: counts, times and sizes, never a name. `GET /metrics` answers in its text format."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)  # memory, processor time and file handles of the process

_TIMES = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_SIZES = tuple(1024 * 4**power for power in range(9))  # 1 KB to 64 MB

REQUESTS = Counter("skinapp_requests", "Requests by route and status", ["route", "status"], registry=REGISTRY)
REQUEST_SECONDS = Histogram(
    "skinapp_request_seconds",
    "From a request's first byte to its answer's last",
    ["route"],
    buckets=_TIMES,
    registry=REGISTRY,
)
BODY_BYTES = Histogram(
    "skinapp_body_bytes", "Sizes of the bodies that were sent", ["route"], buckets=_SIZES, registry=REGISTRY
)
PHOTOS = Counter("skinapp_photos", "Photos by what became of them", ["outcome"], registry=REGISTRY)
PHASE_SECONDS = Histogram(
    "skinapp_phase_seconds",
    "What a photo's time was spent on: decode, queue, network",
    ["phase"],
    buckets=_TIMES,
    registry=REGISTRY,
)
BATCH_PHOTOS = Histogram(
    "skinapp_batch_photos",
    "Photos in one run of the network",
    buckets=(1, 2, 4, 8, 16, 32),
    registry=REGISTRY,
)
WAITING = Gauge("skinapp_waiting", "Photos in work or in the queue", registry=REGISTRY)
