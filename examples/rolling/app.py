"""A FastAPI app that says which version of it answers."""

import os

from fastapi import FastAPI

app = FastAPI(title="Rolling")


@app.get("/")
def index() -> dict[str, object]:
    """Says which version and which process answered."""
    return {"version": os.environ.get("VERSION", "none"), "pid": os.getpid()}


@app.get("/health")
def health() -> dict[str, str]:
    """Is asked by the probe: until it answers, the process before this one goes on."""
    return {"status": "ok"}
