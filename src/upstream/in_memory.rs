//! Both ends of a TLS connection in memory, for tests.

use rustls::{ClientConnection, ConnectionCommon, Error, ServerConnection};

/// Carries records to and fro until neither side has any.
pub(super) fn talk(client: &mut ClientConnection, server: &mut ServerConnection) -> Result<(), Error> {
    while client.wants_write() || server.wants_write() {
        carry(client, server)?;
        carry(server, client)?;
    }
    Ok(())
}

fn carry<A, B>(from: &mut ConnectionCommon<A>, to: &mut ConnectionCommon<B>) -> Result<(), Error> {
    let mut records = Vec::new();
    while from.wants_write() {
        from.write_tls(&mut records).unwrap();
    }
    let mut records = &records[..];
    while !records.is_empty() {
        to.read_tls(&mut records).unwrap();
        to.process_new_packets()?;
    }
    Ok(())
}
