//! As much of HTTP as a caller of the admin API needs.

use super::SOON;
use serde_json::Value;
use socket2::{Domain, Socket, Type};
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};

/// A caller.
#[derive(Debug)]
pub(crate) struct Http {
    address: SocketAddr,
    /// The address that it calls from, if it is to be this one.
    source: Option<IpAddr>,
    /// Header lines that say who calls.
    login: String,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl Http {
    pub(crate) fn new(address: SocketAddr, token: Option<&str>) -> Self {
        let header = |token| format!("Authorization: Bearer {token}\r\n");
        Self {
            address,
            source: None,
            login: token.map(header).unwrap_or_default(),
        }
    }

    /// One that shows what `POST /v1/auth` answered.
    pub(crate) fn logged_in(address: SocketAddr, answer: &Value) -> Self {
        let text = |name: &str| answer[name].as_str().unwrap();
        let (key, token) = (text("apiKey"), text("token"));
        Self {
            address,
            source: None,
            login: format!("X-Soracom-API-Key: {key}\r\nX-Soracom-Token: {token}\r\n"),
        }
    }

    /// The same, from another address of this machine.
    pub(crate) fn from(self, source: &str) -> Self {
        Self {
            source: Some(source.parse().unwrap()),
            ..self
        }
    }

    fn connect(&self) -> TcpStream {
        let socket = Socket::new(Domain::for_address(self.address), Type::STREAM, None).unwrap();
        if let Some(source) = self.source {
            socket.bind(&SocketAddr::new(source, 0).into()).unwrap();
        }
        socket.connect_timeout(&self.address.into(), SOON).unwrap();
        socket.into()
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.call("GET", path, None)
    }

    pub(crate) fn delete(&self, path: &str) -> Answer {
        self.call("DELETE", path, None)
    }

    pub(crate) fn put(&self, path: &str, body: &Value) -> Answer {
        self.call("PUT", path, Some(&body.to_string()))
    }

    pub(crate) fn call(&self, method: &str, path: &str, body: Option<&str>) -> Answer {
        let mut stream = self.connect();
        stream.set_read_timeout(Some(SOON)).unwrap();
        let mut request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n",
            self.address
        );
        request += &self.login;
        if let Some(body) = body {
            request += &format!(
                "Content-Type: application/json\r\nContent-Length: {}\r\n",
                body.len()
            );
        }
        request += "\r\n";
        request += body.unwrap_or_default();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        Answer {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            body: body.to_owned(),
        }
    }
}
