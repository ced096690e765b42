"""A FastAPI app with a WebSocket that says back what it hears."""
import os

import uvicorn
from fastapi import FastAPI, WebSocket

app = FastAPI()


@app.get("/")
def root():
    return {"pid": os.getpid()}


@app.websocket("/ws")
async def ws(socket: WebSocket):
    await socket.accept()
    while True:
        await socket.send_text("heard " + await socket.receive_text())


uvicorn.run(app, host="127.0.0.1", port=int(os.environ["PORT"]), log_level="warning")
