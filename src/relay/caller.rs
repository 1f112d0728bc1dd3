//! Who is connecting, for the log and for the answer.

use crate::entrypoint::Destination;
use crate::logbook::shortened;
use crate::mqtt::{Connect, Version};
use crate::sim::Sim;
use crate::store::Snapshot;
use std::net::SocketAddr;
use std::sync::Arc;

/// What is known about a device while it connects, for the log and for the answer.
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) peer: SocketAddr,
    pub(super) version: Option<Version>,
    pub(super) client_id: Option<Box<str>>,
    pub(super) sim: Option<Arc<Sim>>,
    pub(super) keep_alive: Option<u16>,
    pub(super) destination: Option<Destination>,
    pub(super) maximum_packet_size: Option<u32>,
}

impl Caller {
    /// All that is known when a connection is accepted: the SIM of its address.
    pub(super) fn at(peer: SocketAddr, snapshot: &Snapshot) -> Self {
        // An IPv4 device on an IPv6 socket is the device of its IPv4 address, in the log too.
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        Self {
            peer,
            version: None,
            client_id: None,
            sim: snapshot.sim_at(peer.ip()).cloned(),
            keep_alive: None,
            destination: None,
            maximum_packet_size: None,
        }
    }

    /// Adds what its CONNECT says, and whose address it is by the time of that.
    pub(super) fn learn(&mut self, connect: &Connect<'_>, snapshot: &Snapshot) {
        self.sim = snapshot.sim_at(self.peer.ip()).cloned();
        self.version = Some(connect.version);
        self.client_id = Some(shortened(connect.client_id).into());
        self.keep_alive = Some(connect.keep_alive);
        self.maximum_packet_size = connect.maximum_packet_size;
    }
}
