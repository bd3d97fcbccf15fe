"""A device on paho-mqtt: publishes with QoS 2 as fast as it may and hears itself, over whatever happens.

paho-device.py PORT VERSION COUNT; prints a line for each acknowledged message and, at the end, what it heard.
"""

import socket
import sys
import threading
import time

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

port, version, count = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
name = f"paho-{version}"
topic = f"dev/{name}/a"
acknowledged = 0
heard = []
everything = threading.Event()


def progress():
    if acknowledged == count and len(heard) >= count:
        everything.set()


def on_publish(client, userdata, mid):
    global acknowledged
    acknowledged += 1
    print("acknowledged", acknowledged, flush=True)
    progress()


def on_message(client, userdata, message):
    heard.append(message.payload.decode())
    progress()


def on_connect(client, userdata, flags, reason, properties=None):
    print("connected", reason, flags["session present"], flush=True)
    if not flags["session present"]:
        client.subscribe(topic, qos=2)


def on_disconnect(client, userdata, reason, properties=None):
    print("disconnected", reason, flush=True)


def on_subscribe(client, userdata, mid, granted, properties=None):
    for index in range(count):
        client.publish(topic, f"m{index}", qos=2)


if version == "5":
    device = mqtt.Client(name, protocol=mqtt.MQTTv5)
    lasting = Properties(PacketTypes.CONNECT)
    lasting.SessionExpiryInterval = 600
    extra = {"properties": lasting}
else:
    device = mqtt.Client(name, clean_session=False, protocol=mqtt.MQTTv311)
    extra = {}
device.max_inflight_messages_set(50)
device.reconnect_delay_set(1, 1)
device.on_publish = on_publish
device.on_message = on_message
device.on_connect = on_connect
device.on_disconnect = on_disconnect
device.on_subscribe = on_subscribe
connect_again = device.reconnect


def reconnect():
    # paho-mqtt 1.6 forgets at a second attempt in a row which of its messages it has released, and publishes
    # them as new ones: so there is one attempt, when somebody listens.
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return connect_again()
        except OSError:
            time.sleep(0.05)


device.connect("127.0.0.1", port, **extra)
device.reconnect = reconnect
device.loop_start()
if not everything.wait(100):
    print("late", acknowledged, len(heard), flush=True)
device.disconnect()
device.loop_stop()
print("heard " + " ".join(heard), flush=True)
