//! `entrypoints.json` for a test: SIM `n` calls from `127.1.0.n`.

use serde_json::{Value, json};
use std::net::Ipv4Addr;

pub(crate) fn sim_address(n: u8) -> String {
    format!("127.1.0.{n}")
}

pub(crate) fn imsi(n: u8) -> String {
    format!("440103000000{n:03}")
}

pub(crate) fn sim_id(n: u8) -> String {
    format!("8981100000000000{n:03}")
}

pub(crate) fn imei(n: u8) -> String {
    format!("352709570000{n:03}")
}

/// The address of device `at` of a fleet in which each device has a SIM of its own.
pub(crate) fn fleet_address(at: usize) -> Ipv4Addr {
    let [high, low] = u16::try_from(at).unwrap().to_be_bytes();
    Ipv4Addr::new(127, 2, high, low)
}

/// An entry point that rewrites topics and passes the device's login through.
pub(crate) fn entry_point(destination: &str) -> Value {
    json!({ "destination": destination, "replaceTopic": true, "useClientCredentials": true })
}

/// The file, group by group.
#[derive(Debug, Clone, Default)]
pub(crate) struct Configuration {
    groups: Vec<Value>,
    sims: Vec<Value>,
}

impl Configuration {
    /// One group `g` with SIM 1.
    pub(crate) fn of(entry_point: &Value) -> Self {
        Self::default().group("g", Some(entry_point)).sim(1, Some("g"))
    }

    pub(crate) fn group(mut self, id: &str, entry_point: Option<&Value>) -> Self {
        let configuration = match entry_point {
            Some(entry_point) => json!({ "SoracomBeam": { "mqtt://beam.soracom.io:1883": entry_point } }),
            None => json!({}),
        };
        self.groups
            .push(json!({ "groupId": id, "tags": { "name": id }, "configuration": configuration }));
        self
    }

    pub(crate) fn sim(self, n: u8, group: Option<&str>) -> Self {
        let address = sim_address(n);
        self.sim_at(n, group, &[&address])
    }

    /// A SIM with other addresses than its usual one.
    pub(crate) fn sim_at(mut self, n: u8, group: Option<&str>, addresses: &[&str]) -> Self {
        let mut sim = json!({ "simId": sim_id(n), "imsi": imsi(n), "imei": imei(n), "addresses": addresses });
        if let Some(group) = group {
            sim["groupId"] = group.into();
        }
        self.sims.push(sim);
        self
    }

    /// So many devices, each with a SIM of its own that calls from [`fleet_address`].
    pub(crate) fn fleet(mut self, count: usize, group: &str) -> Self {
        self.sims.extend((0..count).map(|at| {
            json!({
                "simId": format!("8981200000{at:09}"), "imsi": format!("440104{at:09}"),
                "groupId": group, "addresses": [fleet_address(at)]
            })
        }));
        self
    }

    /// Takes the IMEI of the last SIM away.
    pub(crate) fn without_imei(mut self) -> Self {
        let sim = self.sims.last_mut().unwrap();
        sim.as_object_mut().unwrap().remove("imei");
        self
    }

    pub(crate) fn json(&self) -> Value {
        json!({ "groups": self.groups, "sims": self.sims })
    }

    pub(crate) fn text(&self) -> String {
        format!("{:#}\n", self.json())
    }
}
