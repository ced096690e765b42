"""A small FastAPI app to run under Supervisor."""

import logging
import os

from fastapi import FastAPI

logging.basicConfig(level=logging.INFO)
app = FastAPI(title="Example")


@app.get("/")
def index() -> dict[str, object]:
    """Says which process answered."""
    logging.info("index asked for")
    return {"message": "Hello from FastAPI", "pid": os.getpid()}


@app.get("/health")
def health() -> dict[str, str]:
    """Is asked by the probes."""
    return {"status": "ok"}
