//! A broker of a cloud, under the cloud's own name, and a relay that finds it there.

use super::{Authority, Configuration, Device, Simrelay, TlsBroker, packet::Packet};
use serde_json::{Value, json};

/// A broker that is called as in the cloud. The relay dials it by `--connect-to`; the machine of the relay trusts the
/// authority that its certificate is from.
pub(crate) struct Cloud {
    pub(crate) broker: TlsBroker,
    pub(crate) authority: Authority,
    detour: String,
}

impl Cloud {
    pub(crate) fn called(host: &str, port: u16) -> Self {
        let authority = Authority::new("cloud");
        let broker = TlsBroker::listen(&authority.server(host), &authority);
        let detour = format!("{host}:{port}={}", broker.address());
        Self {
            broker,
            authority,
            detour,
        }
    }

    /// Wants `protocol` in the TLS handshake.
    pub(crate) fn speaking(self, protocol: &str) -> Self {
        let broker = self.broker.speaking(protocol);
        Self { broker, ..self }
    }

    /// A relay that finds it.
    pub(crate) fn relay(&self, configuration: &Configuration) -> Simrelay {
        self.relay_with(configuration, &[], &[])
    }

    /// The same with more flags and environment variables.
    pub(crate) fn relay_with(
        &self,
        configuration: &Configuration,
        flags: &[&str],
        variables: &[(&str, &str)],
    ) -> Simrelay {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("entrypoints.json"), configuration.text()).unwrap();
        let trusted = folder.path().join("trusted.pem");
        std::fs::write(&trusted, self.authority.pem()).unwrap();
        let mut all = vec!["--broker-listen", "off", "--relay-listen", "127.0.0.1:0"];
        all.extend(["--connect-to", &self.detour]);
        all.extend(flags);
        let mut environment = vec![("SSL_CERT_FILE", trusted.to_str().unwrap())];
        environment.extend(variables);
        Simrelay::in_environment(folder, &all, &environment)
    }

    /// What becomes of a device's CONNECT, which the broker accepts.
    #[track_caller]
    pub(crate) fn arrived(&self, mut device: Device, connect: &[u8], connack: &[u8]) -> Packet {
        device.send(connect);
        let (_, arrived) = self.broker.admit(connack);
        device.expect(connack);
        arrived
    }
}

/// An entry point of a platform with one credential.
pub(crate) fn platform(switch: &str, field: &str, id: &str, url: &str) -> Value {
    let mut entry = json!({ "destination": url });
    entry[switch] = true.into();
    entry[field] = json!({ "$credentialsId": id });
    entry
}
