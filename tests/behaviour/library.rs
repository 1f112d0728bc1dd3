//! A client library as a device: rumqttc, which knows nothing of the relay.

use crate::site::*;
use rumqttc::mqttbytes::QoS;
use rumqttc::{AsyncClient, Event, Incoming, MqttOptions, PublishOptions};
use std::time::Duration;
use tokio::time::timeout;

#[tokio::test]
async fn rumqttc_receives_what_it_publishes_under_its_rewritten_topic() {
    let mosquitto = Mosquitto::plain();
    let config = Configuration::default()
        .group("g", Some(&entry_point(&mosquitto.url())))
        .sim_at(1, Some("g"), &["127.0.0.1"]);
    let relay = Simrelay::with(&config, &["--relay-listen", "127.0.0.1:0"]);
    let options = MqttOptions::new("library", ("127.0.0.1", relay.relay().port()));
    let (client, mut events) = AsyncClient::builder(options).capacity(10).build();
    client
        .subscribe("echo/{{imsi}}/#", QoS::ExactlyOnce)
        .await
        .unwrap();
    let mut received = Vec::new();
    while received.len() < 3 {
        let event = timeout(Duration::from_secs(10), events.poll())
            .await
            .expect("an event in time");
        match event.unwrap() {
            // The library sends what is published while it connects ahead of the SUBSCRIBE.
            Event::Incoming(Incoming::SubAck(_)) => {
                for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
                    let payload = format!("{qos:?}");
                    let publish = client.publish("echo/{{imsi}}/x", payload, PublishOptions::new(qos));
                    publish.await.unwrap();
                }
            }
            Event::Incoming(Incoming::Publish(publish)) => {
                assert_eq!(publish.topic, format!("echo/{}/x", imsi(1)).as_bytes());
                received.push(String::from_utf8(publish.payload.to_vec()).unwrap());
            }
            _ => {}
        }
    }
    received.sort_unstable();
    assert_eq!(received, ["AtLeastOnce", "AtMostOnce", "ExactlyOnce"]);
}
