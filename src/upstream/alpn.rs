//! The protocol that a broker on the HTTPS port has to be told in the TLS handshake.

use crate::entrypoint::Destination;

/// AWS IoT Core takes MQTT on port 443 beside HTTPS, and tells them apart by ALPN: with a client certificate, and
/// with a custom authorizer's user name and password (AWS IoT Core Developer Guide, "Device communication
/// protocols"). Other brokers are told nothing: some end a handshake whose protocol they do not know.
pub(super) fn protocol(destination: &Destination, shows_certificate: bool) -> Option<&'static [u8]> {
    match (
        destination.port() == 443 && destination.is_aws_iot(),
        shows_certificate,
    ) {
        (false, _) => None,
        (true, true) => Some(b"x-amzn-mqtt-ca"),
        (true, false) => Some(b"mqtt"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_aws_iot_core_on_443_is_told_a_protocol() {
        for (url, with_certificate, without) in [
            (
                "mqtts://a1-ats.iot.ap-northeast-1.amazonaws.com:443",
                Some("x-amzn-mqtt-ca"),
                Some("mqtt"),
            ),
            (
                "mqtts://a1.ats.iot.cn-north-1.amazonaws.com.cn:443",
                Some("x-amzn-mqtt-ca"),
                Some("mqtt"),
            ),
            ("mqtts://a1-ats.iot.ap-northeast-1.amazonaws.com", None, None),
            ("mqtts://mq.eu-west-1.amazonaws.com:443", None, None),
            ("mqtts://a.iot.example.com:443", None, None),
            ("mqtts://10.0.0.1:443", None, None),
        ] {
            let destination = url.parse().unwrap();
            for (shows, expected) in [(true, with_certificate), (false, without)] {
                let told = protocol(&destination, shows);
                assert_eq!(told, expected.map(str::as_bytes), "{url} {shows}");
            }
        }
    }
}
