#!/usr/bin/env python3
"""The HTTP-to-MQTT bridge that simrelay is measured against: FastAPI, one MQTT connection for each request.

It does what such scripts on the web do; only broker and port come from the environment.
"""

import os

import paho.mqtt.client as mqtt
import uvicorn
from fastapi import FastAPI, Query
from pydantic import BaseModel

app = FastAPI()

BROKER_HOST = "127.0.0.1"
BROKER_PORT = int(os.environ["BROKER_PORT"])


class NotifyRequest(BaseModel):
    topic: str = "notify/slack"
    message: str


def publish_mqtt(topic: str, message: str):
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    client.connect(BROKER_HOST, BROKER_PORT, 60)
    client.publish(topic, message)
    client.disconnect()


@app.get("/notify")
async def notify_get(message: str = Query(...), topic: str = Query("notify/slack")):
    publish_mqtt(topic, message)
    return {"status": "ok", "topic": topic, "message": message}


@app.post("/notify")
async def notify_post(req: NotifyRequest):
    publish_mqtt(req.topic, req.message)
    return {"status": "ok", "topic": req.topic, "message": req.message}


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ["PORT"]), log_level="warning")
