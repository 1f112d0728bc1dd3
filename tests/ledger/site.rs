//! The real program with two SIMs and its own broker behind it, and raw MQTT 3.1.1 towards both.

use crate::program::Program;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// IMSIs of the SIMs at 127.0.0.1 and 127.0.0.2.
pub(crate) const SIMS: [&str; 2] = ["440103000000001", "440103000000002"];
const ENTRY_POINT: &str = "mqtt://beam.soracom.io:1883";

pub(crate) struct Site {
    program: Program,
    pub(crate) relay: SocketAddr,
    pub(crate) broker: SocketAddr,
    client: reqwest::Client,
}

impl Site {
    /// Starts the program in `folder`, where an earlier one may have run, with its embedded broker as destination.
    pub(crate) async fn start(folder: &Path) -> Self {
        let file = folder.join("entrypoints.json");
        if !file.exists() {
            let sim = |n: usize| {
                let address = format!("127.0.0.{}", n + 1);
                let sim_id = format!("898110000000000001{n}");
                json!({ "simId": sim_id, "imsi": SIMS[n], "groupId": "g", "addresses": [address] })
            };
            let groups = json!([{ "groupId": "g", "tags": {}, "configuration": {} }]);
            let configuration = json!({ "groups": groups, "sims": [sim(0), sim(1)] });
            std::fs::write(&file, configuration.to_string()).unwrap();
        }
        let program = Program::start(
            folder,
            &["--broker-listen", "127.0.0.1:0", "--usage-interval", "1"],
        );
        // What the client below wants; another test may have installed it already.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let site = Self {
            relay: program.address("relay"),
            broker: program.address("broker"),
            program,
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
        };
        site.aim_at_broker().await;
        site
    }

    /// The broker has another port each time.
    async fn aim_at_broker(&self) {
        let value = json!({ "destination": format!("mqtt://{}", self.broker), "replaceTopic": true });
        let put = self
            .client
            .put(self.url("/v1/groups/g/configuration/SoracomBeam"));
        let body = json!([{ "key": ENTRY_POINT, "value": value }]);
        let put = put.bearer_auth(self.program.token()).json(&body);
        let response = put.send().await.unwrap();
        assert!(
            response.status().is_success(),
            "{}",
            response.text().await.unwrap()
        );
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.program.address("api"))
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.program.data()
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let request = self.client.get(self.url(path)).bearer_auth(self.program.token());
        let response = request.send().await.unwrap();
        assert!(response.status().is_success(), "{path}: {}", response.status());
        response.json().await.unwrap()
    }

    /// What the ledger holds for a SIM: `inMqtt` and `outMqtt`. All three periods have to agree; a flush between
    /// two questions is no reason that they do not the next time.
    pub(crate) async fn ledger(&self, imsi: &str) -> (u64, u64) {
        let mut sums = self.sums(imsi).await;
        for _ in 0..5 {
            if sums[0] == sums[1] && sums[1] == sums[2] {
                return sums[0];
            }
            sums = self.sums(imsi).await;
        }
        panic!("month, day and minutes differ: {sums:?}");
    }

    async fn sums(&self, imsi: &str) -> [(u64, u64); 3] {
        let mut sums = [(0, 0); 3];
        for (period, sums) in ["month", "day", "minutes"].into_iter().zip(&mut sums) {
            let path = format!("/v1/stats/beam/subscribers/{imsi}?from=1&to=9999999999&period={period}");
            let buckets = self.get(&path).await;
            let sum = |name: &str| {
                let count = |bucket: &Value| bucket["beamStatsMap"][name]["count"].as_u64().unwrap_or(0);
                buckets.as_array().unwrap().iter().map(count).sum::<u64>()
            };
            *sums = (sum("inMqtt"), sum("outMqtt"));
        }
        sums
    }

    /// `kill -9`.
    pub(crate) fn kill(self) {
        drop(self.program);
    }

    /// SIGTERM; gives what it logged.
    pub(crate) fn terminate(self) -> Vec<Value> {
        let log = self.program.terminate();
        log.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

/// A device or a client of the broker.
pub(crate) struct Client {
    stream: TcpStream,
    next_id: u16,
}

impl Client {
    /// Connects from 127.0.0.`from`; the answer is the CONNACK's code.
    pub(crate) async fn try_connect(to: SocketAddr, from: u8, id: &str, keep_alive: u16) -> (Self, u8) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, from], 0))).unwrap();
        let mut stream = socket.connect(to).await.unwrap();
        let mut body = b"\x00\x04MQTT\x04\x02".to_vec();
        body.extend(keep_alive.to_be_bytes());
        body.extend((id.len() as u16).to_be_bytes());
        body.extend(id.as_bytes());
        stream.write_all(&packet(0x10, &body)).await.unwrap();
        let mut connack = [0; 4];
        stream.read_exact(&mut connack).await.unwrap();
        (Self { stream, next_id: 1 }, connack[3])
    }

    pub(crate) async fn connect(to: SocketAddr, from: u8, id: &str) -> Self {
        let (client, code) = Self::try_connect(to, from, id, 60).await;
        assert_eq!(code, 0);
        client
    }

    /// One PUBLISH with QoS 1, and its PUBACK.
    pub(crate) async fn publish(&mut self, topic: &str) -> std::io::Result<()> {
        let mut body = (topic.len() as u16).to_be_bytes().to_vec();
        body.extend(topic.as_bytes());
        body.extend(self.next_id.to_be_bytes());
        body.extend(b"21.5");
        self.next_id = self.next_id.checked_add(1).unwrap_or(1);
        self.stream.write_all(&packet(0x32, &body)).await?;
        let mut puback = [0; 4];
        self.stream.read_exact(&mut puback).await.map(drop)
    }

    /// Subscribes with QoS 0.
    pub(crate) async fn subscribe(&mut self, filter: &str) {
        let mut body = vec![0, 1];
        body.extend((filter.len() as u16).to_be_bytes());
        body.extend(filter.as_bytes());
        body.push(0);
        self.stream.write_all(&packet(0x82, &body)).await.unwrap();
        let mut suback = [0; 5];
        self.stream.read_exact(&mut suback).await.unwrap();
        assert_eq!(suback[0], 0x90);
    }

    /// Reads so many small PUBLISH.
    pub(crate) async fn receive(&mut self, count: u64) {
        for _ in 0..count {
            let mut header = [0; 2];
            self.stream.read_exact(&mut header).await.unwrap();
            assert_eq!((header[0] >> 4, header[1] < 0x80), (3, true));
            let mut rest = vec![0; header[1].into()];
            self.stream.read_exact(&mut rest).await.unwrap();
        }
    }

    /// Whether nothing more came.
    pub(crate) fn is_quiet(&self) -> bool {
        let got = self.stream.try_read(&mut [0; 1]);
        got.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
    }

    pub(crate) async fn disconnect(mut self) {
        self.stream.write_all(&[0xe0, 0]).await.unwrap();
        // Until the other side has seen it.
        let _ = self.stream.read(&mut [0; 1]).await;
    }
}

fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![first, u8::try_from(body.len()).unwrap()];
    assert!(body.len() < 0x80);
    packet.extend(body);
    packet
}
