//! The will goes out on every ending but the device's own DISCONNECT.

use crate::site::*;

struct Stage {
    relay: Simrelay,
    watcher: Watcher,
    device: Device,
    mosquitto: Mosquitto,
}

/// A device with a will is connected.
fn stage(version: Version, keep_alive: u16) -> Stage {
    let mosquitto = Mosquitto::plain();
    let relay = Simrelay::to(&mosquitto.url());
    let watcher = mosquitto.watch();
    let mut device = relay.device(1);
    let mut will = Will::new("will/{{imsi}}", "gone");
    will.qos = 1;
    device.enter(&Connect::new(version, "c").keep_alive(keep_alive).will(will));
    Stage {
        relay,
        watcher,
        device,
        mosquitto,
    }
}

fn expect_will(watcher: &mut Watcher) {
    watcher.expect(&format!("will/{}", imsi(1)), "gone");
}

#[test]
fn the_will_goes_out_when_the_device_closes_without_disconnect() {
    for version in Version::ALL {
        let mut stage = stage(version, 60);
        drop(stage.device);
        expect_will(&mut stage.watcher);
        assert_eq!(
            stage.relay.closed("c")["reason"],
            "the device closed the connection without DISCONNECT"
        );
    }
}

#[test]
fn the_will_goes_out_when_the_device_resets() {
    let mut stage = stage(Version::V311, 60);
    stage.device.reset();
    expect_will(&mut stage.watcher);
    let reason = stage.relay.closed("c")["reason"].to_string();
    assert!(reason.contains("the connection to the device broke"), "{reason}");
}

#[test]
fn the_will_goes_out_when_the_device_falls_silent() {
    let mut stage = stage(Version::V5, 5);
    expect_will(&mut stage.watcher);
    stage.relay.closed("c");
}

#[test]
fn the_will_goes_out_when_the_device_breaks_the_protocol() {
    for version in Version::ALL {
        let mut stage = stage(version, 60);
        stage.device.send(&[0x36, 2, 0, 0]);
        expect_will(&mut stage.watcher);
        let reason = stage.relay.closed("c")["reason"].to_string();
        assert!(reason.contains("the device broke the protocol"), "{reason}");
    }
}

#[test]
fn sigterm_lets_the_wills_go_out_tells_the_devices_and_ends_in_time() {
    for version in Version::ALL {
        let mut stage = stage(version, 60);
        stage.relay.signal("TERM");
        expect_will(&mut stage.watcher);
        let last = stage.device.read_to_end();
        if version == Version::V5 {
            assert_eq!((last[0].kind(), last[0].body()[0]), (14, 0x8b), "{last:?}");
        } else {
            assert!(last.is_empty(), "{last:?}");
        }
        assert!(stage.relay.wait().success());
        assert_eq!(stage.relay.closed("c")["reason"], "the relay is shutting down");
    }
}

#[test]
fn the_will_goes_out_when_an_admin_deletes_the_entry_point() {
    let mut stage = stage(Version::V5, 60);
    let path = "/v1/groups/g/configuration/SoracomBeam/mqtt:%2F%2Fbeam.soracom.io:1883";
    assert_eq!(stage.relay.http().delete(path).status, 204);
    expect_will(&mut stage.watcher);
}

#[test]
fn the_will_does_not_go_out_when_the_device_says_disconnect() {
    for version in Version::ALL {
        let mut stage = stage(version, 60);
        stage.device.send(&disconnect());
        stage.device.expect_end();
        stage.mosquitto.saw("Received DISCONNECT from c");
        stage.mosquitto.saw("Client c disconnected");
        assert_eq!(stage.relay.closed("c")["reason"], "the device disconnected");
        // Had the will gone out it would come before this.
        mosquitto_pub("127.0.0.1", stage.mosquitto.inside, &["-t", "marker", "-m", "x"]).unwrap();
        stage.watcher.expect("marker", "x");
    }
}

#[test]
fn the_will_does_not_go_out_when_the_device_disconnects_and_vanishes_in_one_breath() {
    let mut stage = stage(Version::V311, 60);
    stage
        .device
        .send(&[publish("last", 0, 0, b"words"), disconnect()].concat());
    stage.device.reset();
    stage.watcher.expect("last", "words");
    stage.mosquitto.saw("Client c disconnected");
    mosquitto_pub("127.0.0.1", stage.mosquitto.inside, &["-t", "marker", "-m", "x"]).unwrap();
    stage.watcher.expect("marker", "x");
}

#[test]
fn an_mqtt_5_device_may_disconnect_and_ask_for_its_will() {
    let mut stage = stage(Version::V5, 60);
    stage.device.send(&[0xe0, 1, 4]);
    expect_will(&mut stage.watcher);
    assert_eq!(stage.relay.closed("c")["reason"], "the device disconnected");
}
