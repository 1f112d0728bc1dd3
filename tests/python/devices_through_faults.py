"""Devices that publish numbered messages through every fault, and a subscriber at the broker itself.

devices_through_faults.py RELAY_HOST RELAY_PORT BROKER_HOST BROKER_PORT DEVICES

Device N calls from 127.1.0.N and publishes to q/1/{{imsi}} with QoS 1 and to q/2/{{imsi}} with QoS 2, from a persistent
session that it takes up again after every cut. A line "ready" says that all are connected; the end of standard input,
that no new messages are to be made. What was made, and what arrived, is printed as JSON.

Mosquitto 2.0.11, restarted, publishes messages again to a subscriber that has answered them with PUBREC, with DUP and the
packet identifier that they had. That is between those two: it is counted apart from what the devices' side repeats.
"""

import json
import sys
import threading
import time

import paho.mqtt.client as mqtt

PAUSE = 0.2
# paho sends what is new before what it has to repeat, if it is asked to as soon as a connection stands.
REPEATED_AFTER = 0.6
LIMIT = 60


class Client(mqtt.Client):
    """paho 1.6.1, but for a fault of its own: when two attempts in a row to connect fail, it takes a QoS 2 message that it has
    released (PUBREL) for one that it has not, and publishes it once more, against MQTT 3.1.1 section 4.3.3."""

    def _messages_reconnect_reset_out(self):
        with self._out_message_mutex:
            for message in self._out_messages.values():
                if message.state == mqtt.mqtt_ms_resend_pubrel:
                    message.state = mqtt.mqtt_ms_wait_for_pubcomp
            super()._messages_reconnect_reset_out()


class Device:
    """A device: its client, and how many messages of either quality it made."""

    def __init__(self, number, host, port):
        self.made = {1: 0, 2: 0}
        self.acknowledged = 0
        self.connects = 0
        self.steady_from = None
        self.client = Client(f"device-{number}", clean_session=False)
        # What is not acknowledged is kept for as long as it takes.
        self.client.max_queued_messages_set(0)
        self.client.reconnect_delay_set(0.2, 1)
        self.client.on_connect = self.connected
        self.client.on_disconnect = self.disconnected
        self.client.on_publish = self.published
        self.client.connect_async(host, port, keepalive=10, bind_address=f"127.1.0.{number}")
        self.client.loop_start()

    def connected(self, _client, _userdata, _flags, code):
        self.connects += code == 0
        self.steady_from = time.monotonic() + REPEATED_AFTER

    def disconnected(self, _client, _userdata, _code):
        self.steady_from = None

    def published(self, _client, _userdata, _mid):
        self.acknowledged += 1

    def publish(self):
        steady_from = self.steady_from
        if steady_from is None or time.monotonic() < steady_from:
            return
        for qos in self.made:
            self.made[qos] += 1
            self.client.publish(f"q/{qos}/{{{{imsi}}}}", str(self.made[qos]), qos)

    def waits(self):
        return self.acknowledged < sum(self.made.values())


def observer(host, port, arrived, again, subscribed):
    identifiers = {}
    client = Client("observer", clean_session=False)
    client.reconnect_delay_set(0.2, 1)
    client.on_connect = lambda *_: client.subscribe("q/#", 2)
    client.on_subscribe = lambda *_: subscribed.set()

    def note(_client, _userdata, message):
        number = int(message.payload)
        if message.dup and identifiers.get((message.topic, number)) == message.mid:
            again.append(number)
            return
        identifiers.setdefault((message.topic, number), message.mid)
        arrived.setdefault(message.topic, []).append(number)

    client.on_message = note
    client.connect_async(host, port, keepalive=10)
    client.loop_start()


def wait(what, condition):
    until = time.monotonic() + LIMIT
    while not condition():
        if time.monotonic() > until:
            sys.exit(f"{what}: not within {LIMIT} s")
        time.sleep(0.05)


def main():
    relay, broker, count = sys.argv[1:3], sys.argv[3:5], int(sys.argv[5])
    arrived, again, subscribed = {}, [], threading.Event()
    observer(broker[0], int(broker[1]), arrived, again, subscribed)
    wait("the observer's subscription", subscribed.is_set)
    devices = [Device(n, relay[0], int(relay[1])) for n in range(1, count + 1)]
    wait("all devices connected", lambda: all(device.connects for device in devices))
    print("ready", flush=True)
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    while not ended.wait(PAUSE):
        for device in devices:
            device.publish()
    wait("every acknowledgement", lambda: not any(device.waits() for device in devices))
    # Everything is at the broker now; the observer's own copies are on their way.
    total = sum(sum(device.made.values()) for device in devices)
    wait("every message", lambda: sum(len(set(numbers)) for numbers in arrived.values()) >= total)
    made = [device.made for device in devices]
    connects = sum(device.connects for device in devices)
    outcome = {"made": made, "arrived": arrived, "repeated_by_broker": len(again), "connects": connects}
    print(json.dumps(outcome), flush=True)


main()
