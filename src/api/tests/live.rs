//! With a real relay below, a broker that says yes to everybody, and devices.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::relay::{Limits, ListenOn, Listening, Relay, RelaySettings};
use crate::store::CredentialStore;
use crate::upstream::{Deadlines, Upstream};

const SIM: &str = "/v1/sims/8981100000000000017";

/// Accepts MQTT 5 and takes all that comes.
async fn broker() -> std::net::SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut input = [0; 1024];
                let _ = stream.read(&mut input).await;
                let _ = stream.write_all(&[0x20, 3, 0, 0, 0]).await;
                while matches!(stream.read(&mut input).await, Ok(1..)) {}
            });
        }
    });
    address
}

struct Site {
    api: Api,
    relay: std::net::SocketAddr,
    _running: Relay,
}

impl Site {
    async fn new() -> Self {
        let file = SHIPPED.replace("127.0.0.1:1884", &broker().await.to_string());
        let (sessions, events) = Sessions::new();
        let following = Arc::downgrade(&sessions);
        let mut running = None;
        let start = |store: &Arc<FileStore>, books: Books| {
            let here = [ListenOn::Address("127.0.0.1:0".parse().unwrap())];
            let settings = RelaySettings {
                token_lifetime: Duration::from_secs(3600),
                listening: Listening::bind(&here, std::num::NonZeroUsize::MIN).unwrap(),
                limits: Limits::of(1024),
                usage_interval: std::num::NonZeroU32::MIN,
                drain: Duration::ZERO,
                grace: Duration::from_secs(1),
            };
            let credentials = Arc::new(CredentialStore::new("no/such/folder"));
            let upstream = Upstream::new(Deadlines::default());
            let store = Arc::clone(store) as Arc<dyn Store>;
            let relay = Relay::start(settings, store, credentials, upstream, books, sessions).unwrap();
            Arc::clone(running.insert(relay).registry())
        };
        let api = Api::serving(&file, start).await;
        tokio::spawn(api.history.clone().follow(events, following));
        let running = running.unwrap();
        Self {
            api,
            relay: running.addresses()[0],
            _running: running,
        }
    }

    /// A device that got the answer `expected` to its CONNECT.
    async fn connect(&self, client: &str, expected: u8) -> TcpStream {
        let mut device = TcpStream::connect(self.relay).await.unwrap();
        let mut packet = vec![
            0x10,
            13 + client.len() as u8,
            0,
            4,
            b'M',
            b'Q',
            b'T',
            b'T',
            5,
            2,
            0,
            60,
            0,
            0,
        ];
        packet.push(client.len() as u8);
        packet.extend(client.as_bytes());
        device.write_all(&packet).await.unwrap();
        let mut connack = [0; 4];
        device.read_exact(&mut connack).await.unwrap();
        assert_eq!((connack[0], connack[3]), (0x20, expected));
        device
    }

    async fn connections(&self, query: &str) -> Vec<Value> {
        let list = json_of(self.api.get(&format!("/v1/connections?{query}")).await, 200).await;
        list.as_array().unwrap().clone()
    }

    /// The session events once there are `count`, the newest first.
    async fn events(&self, count: usize) -> Vec<Value> {
        for _ in 0..100 {
            let list = json_of(self.api.get(&format!("{SIM}/events/sessions")).await, 200).await;
            if list.as_array().unwrap().len() >= count {
                return list.as_array().unwrap().clone();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("no {count} events");
    }
}

/// The rest of what the device gets begins with DISCONNECT and this reason, and then the connection is closed.
async fn closed_with(mut device: TcpStream, reason: u8) {
    let mut rest = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(5), device.read_to_end(&mut rest));
    read.await.unwrap().unwrap();
    let disconnect = rest.iter().position(|byte| *byte == 0xe0).unwrap();
    assert_eq!(rest[disconnect + 2], reason, "{rest:02x?}");
}

#[tokio::test]
async fn who_is_connected_is_shown_and_can_be_closed() {
    let site = Site::new().await;
    assert!(site.connections("").await.is_empty());
    let (mut one, other) = (site.connect("one", 0).await, site.connect("two", 0).await);
    tokio::time::sleep(Duration::from_millis(50)).await;
    // A PUBLISH of three bytes to the topic "t".
    one.write_all(&[0x30, 7, 0, 1, b't', 0, 1, 2, 3]).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let list = site.connections("imsi=440103000000001").await;
    let shown = &list[0];
    assert_eq!(
        (list.len(), &shown["clientId"], &list[1]["clientId"]),
        (2, &json!("one"), &json!("two"))
    );
    assert_eq!(shown["counts"]["deviceUp"], 1);
    assert_eq!(shown["counts"]["bytesUp"], 9);
    assert_eq!(
        (&shown["mqttVersion"], &shown["keepAlive"]),
        (&json!("5"), &json!(60))
    );
    assert_eq!(
        (&shown["groupId"], &shown["simId"]),
        (&json!("default"), &json!("8981100000000000017"))
    );
    assert_eq!(shown["address"], one.local_addr().unwrap().to_string());
    assert!(shown["lastPacketTime"].as_u64() >= shown["openedTime"].as_u64());
    assert!(site.connections("imsi=440103000000002").await.is_empty());
    let (first, second) = (shown["id"].as_str().unwrap(), list[1]["id"].as_str().unwrap());
    let page = site.api.get("/v1/connections?limit=1").await;
    assert_eq!(page.headers()["x-soracom-next-key"], first);
    assert_eq!(
        site.connections(&format!("last_evaluated_key={first}"))
            .await
            .len(),
        1
    );

    let path = format!("/v1/connections/{second}");
    assert_eq!(json_of(site.api.get(&path).await, 200).await["clientId"], "two");
    assert_eq!(site.api.delete(&path).await.status(), StatusCode::NO_CONTENT);
    closed_with(other, 0x98).await;
    for path in [path.as_str(), "/v1/connections/x"] {
        assert_eq!(
            refusal(site.api.get(path).await, StatusCode::NOT_FOUND).await.0,
            "NoSuchConnection"
        );
    }
    assert_eq!(site.connections("").await.len(), 1);
}

#[tokio::test]
async fn a_session_is_online_while_connected_and_is_kept_in_the_events() {
    let site = Site::new().await;
    let one = site.connect("one", 0).await;
    let two = site.connect("two", 0).await;
    let sim = json_of(site.api.get(SIM).await, 200).await;
    let status = &sim["sessionStatus"];
    assert_eq!(
        (&status["online"], &status["ueIpAddress"]),
        (&json!(true), &json!("127.0.0.1"))
    );
    assert_eq!(
        (&status["imsi"], &status["imei"]),
        (&json!("440103000000001"), &json!("352709570000018"))
    );
    let online = json_of(site.api.get("/v1/query/sims?session_status=ONLINE").await, 200).await;
    assert_eq!(online.as_array().unwrap().len(), 1);
    let subscriber = json_of(site.api.get("/v1/subscribers/440103000000001").await, 200).await;
    assert_eq!(subscriber["ipAddress"], "127.0.0.1");
    // The modem of the session is found, too, when the SIM has another one by now.
    let modem = json!({ "imei": "352709570000026" });
    json_of(site.api.put(&format!("{SIM}/imei"), &modem).await, 200).await;
    for (imei, sims) in [("570000018", 1), ("570000026", 1), ("570000034", 0)] {
        let found = json_of(site.api.get(&format!("/v1/query/sims?imei={imei}")).await, 200).await;
        assert_eq!(found.as_array().unwrap().len(), sims, "{imei}");
    }

    json_of(site.api.call(&format!("{SIM}/delete_session?")).await, 200).await;
    closed_with(one, 0x98).await;
    closed_with(two, 0x98).await;
    let events = site.events(3).await;
    let kinds: Vec<&str> = events
        .iter()
        .map(|event| event["event"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["Deleted", "Modified", "Created"]);
    assert_eq!(
        (&events[0]["sessionId"], &events[2]["clientId"]),
        (&status["sessionId"], &json!("one"))
    );
    assert!(events[0]["createdTime"].is_string() && events[0]["time"].is_i64());
    assert_eq!(
        json_of(site.api.get(SIM).await, 200).await["sessionStatus"],
        json!({ "online": false })
    );

    let page = site.api.get(&format!("{SIM}/events/sessions?limit=1")).await;
    let key = page.headers()["x-soracom-next-key"].to_str().unwrap().to_owned();
    assert_eq!(key, events[0]["time"].to_string());
    let path = format!("/v1/subscribers/440103000000001/events/sessions?limit=5&last_evaluated_key={key}");
    assert_eq!(json_of(site.api.get(&path).await, 200).await, json!(events[1..]));
    let path = format!(
        "{SIM}/events/sessions?from={}&to={}",
        events[1]["time"], events[1]["time"]
    );
    assert_eq!(json_of(site.api.get(&path).await, 200).await, json!([events[1]]));
    for bad in ["from=x", "from=1795452483", "to=1795452483"] {
        let bad = site.api.get(&format!("{SIM}/events/sessions?{bad}")).await;
        assert_eq!(refusal(bad, StatusCode::BAD_REQUEST).await.0, "InvalidQuery");
    }
}

#[tokio::test]
async fn a_sim_that_is_switched_off_is_refused_and_its_connections_are_closed() {
    let site = Site::new().await;
    for call in ["deactivate", "suspend"] {
        let device = site.connect("one", 0).await;
        json_of(site.api.call(&format!("{SIM}/{call}")).await, 200).await;
        closed_with(device, 0x98).await;
        site.connect("one", 0x87).await;
        json_of(site.api.call(&format!("{SIM}/activate")).await, 200).await;
    }
    let device = site.connect("one", 0).await;
    assert_eq!(site.api.delete(SIM).await.status(), StatusCode::NO_CONTENT);
    closed_with(device, 0x98).await;
    site.connect("one", 0x87).await;
}
