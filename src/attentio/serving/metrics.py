"""What a server counts, for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest


class Metrics:
    """Of one server. No label holds anything that people send."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self.requests = Counter(
            "attentio_requests", "Requests, by path and status.", ["path", "status"], registry=self._registry
        )
        self.seconds = Histogram(
            "attentio_request_seconds", "From a request to the start of its answer.", ["path"], registry=self._registry
        )
        self.waiting = Gauge("attentio_waiting", "Requests that wait for the model.", registry=self._registry)
        self.together = Histogram(
            "attentio_answered_together",
            "Requests that the model answered in one call.",
            buckets=[1, 2, 4, 8, 16, 32, 64],
            registry=self._registry,
        )
        self.model_seconds = Histogram("attentio_model_seconds", "Calls of the model.", registry=self._registry)

    def text(self) -> bytes:
        """All of them as they stand, in Prometheus's text format."""
        return generate_latest(self._registry)
