//! The services of this machine: whether something listens where they should, and whether it is they.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Finding;
use crate::claim::Claimant;

/// How long a service on this machine may take.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// A port where a service should listen.
#[derive(Debug, Clone, Copy)]
pub struct Port {
    /// The step's name.
    pub step: &'static str,
    /// Where the settings say.
    pub address: SocketAddr,
    /// Its unit.
    pub unit: &'static str,
}

/// Whether something listens. Not every site runs every service, so nobody there is only noted.
pub async fn port(port: Port) -> Finding {
    let address = near(port.address);
    match timeout(ANSWER_WITHIN, TcpStream::connect(address)).await {
        Ok(Ok(_)) => Finding::good(port.step, format!("{address} takes connections")),
        _ => Finding::note(
            port.step,
            format!("nothing listens on {address}"),
            format!("if this site needs it: sudo systemctl start {}", port.unit),
        ),
    }
}

/// Whether a notifier works with this data folder. That it hears the broker is not seen by this.
pub fn notifier(data: &Path) -> Finding {
    let folder = data.display();
    match Claimant::Notifier.is_at_work(data) {
        Ok(true) => Finding::good(
            "notifier",
            format!("it runs, on the data folder {folder}; --topic TOPIC shows whether it hears the broker"),
        ),
        Ok(false) => Finding::bad(
            "notifier",
            format!("no notifier works with the data folder {folder}"),
            "sudo systemctl start simrelay-notifier, and journalctl -u simrelay-notifier; or SIMRELAY_NOTIFIER_BROKER=off if this machine has none",
        ),
        Err(error) => Finding::note(
            "notifier",
            format!("whether it runs on the data folder {folder} cannot be seen: {error}"),
            "try sudo simrelay doctor",
        ),
    }
}

/// Whether the bridge answers, and has its broker.
pub async fn bridge(listen: SocketAddr, has_tls: bool) -> Finding {
    let scheme = if has_tls { "https" } else { "http" };
    let url = format!("{scheme}://{}/healthz", near(listen));
    match timeout(ANSWER_WITHIN, ask(&url)).await {
        Ok(Ok((status, body))) => judge(&url, status, &body),
        Ok(Err(error)) => Finding::bad(
            "bridge",
            format!("{url} does not answer: {error}"),
            "sudo systemctl start simrelay-bridge, and journalctl -u simrelay-bridge; or SIMRELAY_BRIDGE_LISTEN=off if this site has none",
        ),
        Err(_) => Finding::bad(
            "bridge",
            format!("{url} hangs"),
            "sudo systemctl restart simrelay-bridge",
        ),
    }
}

fn judge(url: &str, status: u16, body: &Value) -> Finding {
    let waiting = body["waiting"].as_u64();
    let parked = body["parked"].as_u64().unwrap_or(0);
    match (body["broker"].as_str(), waiting) {
        (Some("there"), Some(_)) if parked > 0 => Finding::note(
            "bridge",
            format!("{url}: it runs and has its broker, which would not have {parked} message(s)"),
            "simrelay parked list shows them and why",
        ),
        (Some("there"), Some(0)) => Finding::good("bridge", format!("{url}: it runs and has its broker")),
        (Some("there"), Some(waiting)) => Finding::good(
            "bridge",
            format!("{url}: it runs and has its broker; {waiting} message(s) are on their way"),
        ),
        (Some(_), Some(waiting)) => Finding::bad(
            "bridge",
            format!("{url}: it runs, but has no broker; {waiting} message(s) wait"),
            "journalctl -u simrelay-bridge says why; its SIMRELAY_BRIDGE_BROKER may differ from the one above",
        ),
        _ if body["error"] == "forbidden" => Finding::note(
            "bridge",
            format!("{url}: it runs, but does not serve this machine"),
            "add 127.0.0.1 to SIMRELAY_BRIDGE_ALLOW to see more",
        ),
        _ if body["error"] == "too many requests" => Finding::note(
            "bridge",
            format!("{url}: it runs, and is asked too often"),
            "try again in a minute",
        ),
        _ => Finding::bad(
            "bridge",
            format!("{url} is another program's (status {status})"),
            "choose another port with SIMRELAY_BRIDGE_LISTEN",
        ),
    }
}

async fn ask(url: &str) -> Result<(u16, Value), String> {
    // Whether it is there, not who it is: the certificate is made for the name that callers use.
    let client = reqwest::Client::builder()
        .no_proxy()
        .tls_danger_accept_invalid_certs(true)
        .build()
        .map_err(|error| error.to_string())?;
    let answer = client.get(url).send().await.map_err(|error| root(&error))?;
    let status = answer.status().as_u16();
    let bytes = answer.bytes().await.map_err(|error| root(&error))?;
    Ok((status, serde_json::from_slice(&bytes).unwrap_or(Value::Null)))
}

/// The cause at the bottom, which says the most.
fn root(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

/// Where a client on this machine finds what listens on all addresses.
pub(crate) fn near(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;
    use serde_json::json;

    #[test]
    fn the_bridge_is_judged_by_what_it_says() {
        for (body, verdict, word) in [
            (
                json!({"status": "ok", "broker": "there", "waiting": 0}),
                Verdict::Good,
                "has its broker",
            ),
            (
                json!({"status": "ok", "broker": "there", "waiting": 3}),
                Verdict::Good,
                "3 message(s)",
            ),
            (
                json!({"status": "ok", "broker": "there", "waiting": 0, "parked": 2}),
                Verdict::Note,
                "would not have 2 message(s)",
            ),
            (
                json!({"status": "ok", "broker": "away", "waiting": 3}),
                Verdict::Bad,
                "no broker",
            ),
            (
                json!({"error": "forbidden"}),
                Verdict::Note,
                "does not serve this machine",
            ),
            (json!({"error": "too many requests"}), Verdict::Note, "too often"),
            (json!({"error": "what?"}), Verdict::Bad, "another program's"),
            (Value::Null, Verdict::Bad, "another program's (status 200)"),
        ] {
            let finding = judge("u", 200, &body);
            assert_eq!(finding.verdict, verdict, "{body}");
            assert!(finding.what.contains(word), "{finding:?}");
        }
    }

    #[tokio::test]
    async fn a_port_is_open_or_it_is_not() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Port {
            step: "relay",
            address: SocketAddr::from(([0, 0, 0, 0], address.port())),
            unit: "simrelay-relay",
        };
        assert_eq!(port(asked).await.verdict, Verdict::Good);
        drop(listener);
        let finding = port(asked).await;
        assert_eq!(finding.verdict, Verdict::Note);
        assert!(finding.advice.contains("simrelay-relay"), "{finding:?}");
    }
}
