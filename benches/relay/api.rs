//! simrelay's admin API, as a caller.

use super::proxy::Proxy;
use super::proxy_files::{entry_point, group_id};
use super::sink::Broker;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// A caller who knows the admin token.
#[derive(Debug, Clone)]
pub struct Caller {
    address: SocketAddr,
    token: String,
}

impl Caller {
    pub fn of(proxy: &Proxy) -> Self {
        Self {
            address: proxy.api,
            token: proxy.admin_token(),
        }
    }

    /// Puts the entry point of a route's first group under another name; how long until the answer, which comes when
    /// it is on disk.
    pub fn put(&self, route: usize, broker: &Broker, name: &str) -> Duration {
        let value = entry_point(broker).replacen('{', &format!("{{\"name\":\"{name}\","), 1);
        let body = format!(r#"[{{"key":"mqtt://beam.soracom.io:1883","value":{value}}}]"#);
        let request = format!(
            "PUT /v1/groups/{}/configuration/SoracomBeam HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n\
             Authorization: Bearer {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            group_id(route, 0),
            self.token,
            body.len()
        );
        let began = Instant::now();
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let status = answer.lines().next().unwrap_or_default();
        assert!(status.contains(" 200 "), "{answer}");
        began.elapsed()
    }
}
