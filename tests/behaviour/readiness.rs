//! What a load balancer is told.

use crate::site::*;

#[test]
fn a_relay_that_shuts_down_says_so_while_its_devices_leave() {
    let broker = FakeBroker::listen();
    let mut relay = Simrelay::to(&broker.url());
    let http = Http::new(relay.api(), None);
    assert_eq!(http.get("/readyz").status, 200);
    // A device that neither reads nor goes makes the relay wait for it.
    let mut device = relay.device(1);
    device.send(&Connect::new(Version::V5, "c").bytes());
    let (_upstream, _) = broker.admit(CONNACK_5);
    device.expect(CONNACK_5);
    relay.signal("TERM");
    let answer = wait_until("not ready", || {
        let answer = std::panic::catch_unwind(|| http.get("/readyz")).ok()?;
        (answer.status != 200).then_some(answer)
    });
    assert_eq!(
        (answer.status, &answer.json()["code"]),
        (503, &serde_json::json!("NotReady"))
    );
    assert_eq!(relay.wait().code(), Some(0));
}
