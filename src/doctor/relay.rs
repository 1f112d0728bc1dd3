//! The relay: whether what listens on its port is the relay. Another broker may have the port, as port 1883 is that
//! of all brokers.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Finding;
use super::service::{ANSWER_WITHIN, Port, near, port};
use crate::mqtt::{Connack, Version};

/// MQTT 5, Clean Start, keep alive 1 s, client id `simrelay-doctor`. Whoever calls, the relay refuses it without
/// dialling, and says why: Beam takes no keep alive below 5 s. Other brokers accept it, or give no reason in words.
const PROBE: &[u8] = b"\x10\x1c\0\x04MQTT\x05\x02\0\x01\0\0\x0fsimrelay-doctor";
/// The longest answer that is read: a reason in words fits.
const LONGEST: u64 = 2048;

/// Whether the relay listens on `address`. Not every site runs one, so that it does not is only noted.
pub async fn relay(address: SocketAddr) -> Finding {
    let (step, unit) = ("relay", "simrelay-relay");
    let address = near(address);
    let answer = timeout(ANSWER_WITHIN, ask(address)).await;
    let found = match answer {
        Ok(Ok(answer)) => judge(&answer),
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
            return port(Port { step, address, unit }).await;
        }
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("it says nothing for {} s", ANSWER_WITHIN.as_secs())),
    };
    match found {
        Ok(()) => Finding::good(step, format!("the relay answers on {address}")),
        Err(why) => Finding::note(
            step,
            format!("{address} is taken by something that is not the relay: {why}"),
            format!(
                "sudo ss -ltnp 'sport = :{}' names it; if this site needs a relay, move that (Mosquitto: listener 1884 127.0.0.1) or set SIMRELAY_RELAY_LISTEN, then sudo systemctl restart {unit}",
                address.port()
            ),
        ),
    }
}

/// All that is answered to the probe, up to the end or the end of a first packet.
async fn ask(address: SocketAddr) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(PROBE).await?;
    let mut answer = Vec::new();
    let mut limited = stream.take(LONGEST);
    while limited.read_buf(&mut answer).await? > 0 {
        if Connack::parse(&answer, Version::V5).is_ok() {
            break;
        }
    }
    Ok(answer)
}

/// Whether this is how the relay refuses the probe; if not, what it is instead.
fn judge(answer: &[u8]) -> Result<(), String> {
    if answer.is_empty() {
        return Err("it closes the connection without a word".to_owned());
    }
    match Connack::parse(answer, Version::V5) {
        Ok(connack) if connack.accepted() => {
            Err("it takes clients that the relay refuses; it is an MQTT broker".to_owned())
        }
        Ok(connack) if connack.reason_string.is_some() => Ok(()),
        Ok(connack) => Err(format!(
            "it refuses without a reason in words ({}); it is an MQTT broker",
            connack.code_in_words()
        )),
        Err(_) => Err("it does not speak MQTT 5".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;
    use crate::mqtt::Connect;
    use tokio::net::TcpListener;

    #[test]
    fn the_probe_is_a_connect_that_no_relay_admits() {
        let connect = Connect::parse(PROBE).unwrap();
        assert_eq!((connect.version, connect.keep_alive), (Version::V5, 1));
        assert_eq!(connect.client_id, "simrelay-doctor");
    }

    /// What is said of something that answers so.
    async fn finding(answer: &'static [u8]) -> Finding {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answering = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut probe = vec![0; PROBE.len()];
            stream.read_exact(&mut probe).await.unwrap();
            stream.write_all(answer).await.unwrap();
        });
        let finding = relay(address).await;
        answering.await.unwrap();
        finding
    }

    #[tokio::test]
    async fn only_a_refusal_with_a_reason_is_the_relays() {
        for (answer, verdict, word) in [
            (
                &b"\x20\x07\0\x87\x04\x1f\0\x01x"[..],
                Verdict::Good,
                "the relay answers",
            ),
            (
                b"\x20\x03\0\0\0",
                Verdict::Note,
                "takes clients that the relay refuses",
            ),
            (b"\x20\x03\0\x87\0", Verdict::Note, "not authorized"),
            (b"\x20\x02\0\x01", Verdict::Note, "unacceptable protocol version"),
            (
                b"HTTP/1.1 400 Bad Request\r\n\r\n",
                Verdict::Note,
                "does not speak MQTT 5",
            ),
            (b"", Verdict::Note, "without a word"),
        ] {
            let finding = finding(answer).await;
            assert_eq!(finding.verdict, verdict, "{finding:?}");
            assert!(finding.what.contains(word), "{finding:?}");
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        assert!(relay(address).await.what.contains("nothing listens"));
    }
}
