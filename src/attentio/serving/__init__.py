"""A trained model on a port: JSON for programs, a page for people."""

from attentio.errors import extra

with extra("serve"):
    import prometheus_client  # noqa: F401
    import starlette  # noqa: F401
    import uvicorn  # noqa: F401
