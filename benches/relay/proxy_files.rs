//! Configuration files of the proxies.

use super::authority::BROKER_NAME;
use super::names;
use super::route::Route;
use super::sink::Broker;
use std::fmt::Write;
use std::net::SocketAddr;

/// HAProxy as a plain TCP proxy, one port for each route.
pub fn haproxy_cfg(threads: usize, listen: &[SocketAddr], routes: &[Route]) -> String {
    let mut text = format!(
        "global\n  nbthread {threads}\n  maxconn 9900\ndefaults\n  mode tcp\n  maxconn 9900\n  \
         timeout connect 30s\n  timeout client 30m\n  timeout server 30m\n"
    );
    for (number, (listen, route)) in listen.iter().zip(routes).enumerate() {
        let tls = match &route.broker.ca {
            None => String::new(),
            Some(ca) => format!(
                " ssl verify required ca-file {} verifyhost {BROKER_NAME} sni str({BROKER_NAME})",
                ca.display()
            ),
        };
        let _ = write!(
            text,
            "listen mqtt{number}\n  bind {listen} backlog 4096\n  server s {}{tls}\n",
            route.broker.address
        );
    }
    text
}

/// simrelay's `entrypoints.json`: a SIM for each device, groups as the routes say.
pub fn entrypoints(routes: &[Route]) -> String {
    let mut groups = Vec::new();
    let mut sims = Vec::new();
    for (number, route) in routes.iter().enumerate() {
        for group in 0..route.groups {
            groups.push(format!(
                r#"{{"groupId":"{}","configuration":{{"SoracomBeam":{{"mqtt://beam.soracom.io:1883":{}}}}}}}"#,
                group_id(number, group),
                entry_point(&route.broker)
            ));
        }
        for device in route.first..route.first + route.devices {
            sims.push(format!(
                r#"{{"simId":"{}","imsi":"{}","groupId":"{}","addresses":["{}"]}}"#,
                names::sim_id(device),
                names::imsi(device),
                group_id(number, device % route.groups),
                names::address(device)
            ));
        }
    }
    format!(
        "{{\"groups\":[\n{}\n],\"sims\":[\n{}\n]}}\n",
        groups.join(",\n"),
        sims.join(",\n")
    )
}

/// The group of a route.
pub fn group_id(route: usize, group: u64) -> String {
    format!("route{route}-{group}")
}

/// The value of an entry point that leads to a broker.
pub fn entry_point(broker: &Broker) -> String {
    let destination = match broker.ca {
        None => format!("mqtt://{}", broker.address),
        Some(_) => format!("mqtts://{BROKER_NAME}:{}", broker.address.port()),
    };
    format!(r#"{{"destination":"{destination}","useClientCredentials":true,"replaceTopic":true}}"#)
}
