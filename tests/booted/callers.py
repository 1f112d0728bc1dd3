#!/usr/bin/env python3
"""Devices that connect to port 1883 again and again until standard input ends; then one line of what they met."""

import json
import socket
import sys
import threading
import time

CALLERS = 4
over = threading.Event()
lock = threading.Lock()
met = {"served": 0, "refused": 0, "cut": 0, "slowest": 0.0}


def connect(client_id):
    name = client_id.encode()
    body = b"\0\4MQTT\4\2\0\x3c" + len(name).to_bytes(2, "big") + name
    with socket.create_connection(("127.0.0.1", 1883), timeout=60) as stream:
        stream.sendall(bytes([0x10, len(body)]) + body)
        return stream.recv(4) == b"\x20\2\0\0"


def call(client_id):
    while not over.is_set():
        began = time.monotonic()
        outcome = None
        while outcome != "served":
            try:
                outcome = "served" if connect(client_id) else "cut"
            except ConnectionRefusedError:
                outcome = "refused"
            except OSError:
                # Accepted by a relay that then ended: as a device, it comes again.
                outcome = "cut"
            with lock:
                met[outcome] += 1
            if outcome != "served":
                time.sleep(0.05)
        with lock:
            met["slowest"] = max(met["slowest"], time.monotonic() - began)


threads = [threading.Thread(target=call, args=(f"caller-{n}",)) for n in range(CALLERS)]
for thread in threads:
    thread.start()
sys.stdin.read()
over.set()
for thread in threads:
    thread.join()
print(json.dumps(met))
