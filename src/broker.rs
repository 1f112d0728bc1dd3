//! The embedded broker: so that a first run needs nothing else. Memory only, loopback only.

use mqtt5::broker::config::{StorageBackend, StorageConfig};
use mqtt5::broker::{BrokerConfig, MqttBroker};
use std::net::SocketAddr;

/// The largest packet in bytes: a client that never ends one holds as much memory.
const MAX_PACKET: usize = 16 * 1024 * 1024;

/// Why the embedded broker did not start.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// Anybody may connect to it, so it stays on this machine.
    #[error(
        "{0} is not a loopback address: the embedded broker takes everybody in and listens on loopback only; use a real broker instead"
    )]
    NotLoopback(SocketAddr),
    /// It cannot listen.
    #[error("cannot listen on {address}: {reason}; choose another address with --broker-listen, or off")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What it said.
        reason: String,
    },
}

/// The broker, bound and ready to run.
#[expect(missing_debug_implementations, reason = "that of the library has none")]
pub struct Broker {
    broker: MqttBroker,
    address: SocketAddr,
}

impl Broker {
    /// Binds it.
    ///
    /// # Errors
    /// [`BrokerError`] names the address and what is wrong with it.
    pub async fn bind(address: SocketAddr) -> Result<Self, BrokerError> {
        if !address.ip().is_loopback() {
            return Err(BrokerError::NotLoopback(address));
        }
        // Asked first, because the broker's own words about a port in use are of little help.
        std::net::TcpListener::bind(address).map_err(|error| BrokerError::Listen {
            address,
            reason: error.to_string(),
        })?;
        // Memory with persistence on keeps messages for sessions that are offline; nothing reaches a disk.
        let storage = StorageConfig {
            backend: StorageBackend::Memory,
            enable_persistence: true,
            ..StorageConfig::default()
        };
        let config = BrokerConfig::default()
            .with_bind_address(address)
            .with_max_packet_size(MAX_PACKET)
            .with_storage(storage);
        let listen = |reason: String| BrokerError::Listen { address, reason };
        let broker = MqttBroker::with_config(config)
            .await
            .map_err(|error| listen(error.to_string()))?;
        let address = broker.local_addr().unwrap_or(address);
        Ok(Self { broker, address })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until the task is dropped.
    pub async fn run(mut self) {
        if let Err(error) = self.broker.run().await {
            tracing::error!(%error, "the embedded broker stopped");
        }
    }
}
