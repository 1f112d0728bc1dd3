//! One measurement: a fresh broker stub, a fresh proxy before it, and the devices.

use super::device::{self, Device};
use super::proxy::{Kind, Proxy, Setup};
use super::route::Route;
use super::sink::{Door, Sink};

pub struct Rig {
    pub sink: Sink,
    pub proxy: Proxy,
}

impl Rig {
    /// With SIMs for this many devices, all to one door of the broker stub.
    pub fn new(kind: Kind, door: Door, devices: u64) -> Self {
        Self::with(Setup::of(kind), door, devices)
    }

    pub fn with(setup: Setup, door: Door, devices: u64) -> Self {
        let sink = Sink::bind();
        let proxy = Proxy::start(setup, &[Route::of(devices, sink.broker(door))]);
        sink.serve();
        Self { sink, proxy }
    }

    /// Devices from number 0 on.
    pub async fn connect(&self, devices: u64) -> Vec<Device> {
        device::connect_all(self.proxy.address(0), 0..devices).await
    }
}

/// Generator and broker stub share one thread, so that neither waits for the other to be scheduled.
pub fn on_runtime<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(work)
}
