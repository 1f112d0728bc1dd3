//! A connection's task: it opens, is open, ends.

use super::Ending;
use super::farewell::{farewell, wait_until_read};
use super::gate::Leaving;
use super::handshake::{ByVersion, Carried, Opened};
use super::journal;
use super::streams::Streams;
use super::turnstile::{InTurn, Turn};
use crate::event_loop;
use crate::mqtt::{Version, disconnect};
use std::mem::replace;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::sync::mpsc;

/// Written by hand, because it is what an idle connection costs.
pub(super) struct Life {
    stage: Stage,
    /// The worker runs for as long as somebody holds one.
    alive: mpsc::Sender<()>,
}

/// How far it is. What it takes to open a connection, and to end one, is boxed, as it is there for a moment only.
enum Stage {
    Opening(InTurn<Option<Opened>>),
    Open(Opened),
    Ending(Box<Over>),
    Over,
}

impl Life {
    /// The life of what `opening` brings about.
    pub(super) fn new(
        opening: impl Future<Output = Option<Opened>> + 'static,
        alive: mpsc::Sender<()>,
    ) -> Self {
        Self {
            stage: Stage::Opening(InTurn::new(opening)),
            alive,
        }
    }
}

impl Future for Life {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { stage, alive } = &mut *self;
        loop {
            match stage {
                Stage::Open(opened) => {
                    let ending = ready!(opened.carry.poll(cx));
                    if let Stage::Open(opened) = replace(stage, Stage::Over) {
                        *stage = Stage::Ending(Box::new(Over::new(opened, ending)));
                    }
                }
                Stage::Opening(opening) => {
                    *stage = ready!(Pin::new(opening).poll(cx)).map_or(Stage::Over, Stage::Open);
                }
                Stage::Ending(over) => {
                    let Over { opened, ending, turn } = &mut **over;
                    ready!(turn.poll_step(cx, |_| {
                        if let Some(opened) = opened.take() {
                            end(opened, ending, alive);
                        }
                    }));
                    *stage = Stage::Over;
                }
                Stage::Over => return Poll::Ready(()),
            }
        }
    }
}

/// A connection that is over, and waits for its turn to be closed.
struct Over {
    opened: Option<Opened>,
    ending: Ending,
    turn: Turn,
}

impl Over {
    fn new(opened: Opened, ending: Ending) -> Self {
        Self {
            opened: Some(opened),
            ending,
            turn: Turn::default(),
        }
    }
}

/// Writes the end of a connection down, and closes it.
fn end(Opened { carry, seat }: Opened, ending: &Ending, alive: &mpsc::Sender<()>) {
    journal::closed(seat.books(), carry.connection(), ending);
    let held = Held {
        _place: seat.leave(),
        _alive: alive.clone(),
    };
    match carry {
        ByVersion::V201509(carry) => part(carry, ending, held),
        ByVersion::V201912(carry) => part(carry, ending, held),
    }
}

/// What a connection holds until its sockets are closed: who does not let go of them may not open others beyond what it
/// may have.
struct Held {
    _place: Option<Leaving>,
    _alive: mpsc::Sender<()>,
}

/// Closes both sockets, the device's with a last word where it may be heard.
fn part<S: Streams + Unpin>(carry: Carried<S>, ending: &Ending, held: Held) {
    let connection = carry.connection();
    let last = match ending.reason() {
        Some(reason) if connection.version == Version::V5 && carry.at_boundary() => {
            disconnect::packet(reason, &ending.to_string(), connection.maximum_packet_size)
        }
        _ => Vec::new(),
    };
    let (device, broker) = carry.let_go();
    let broker = S::ACKNOWLEDGES.then_some(broker);
    let device = ending.device_listens().then_some(device);
    match (broker, device) {
        (None, None) => {}
        (None, Some(device)) => hold_while(held, async move { farewell(device, &last).await }),
        (Some(broker), None) => hold_while(held, wait_until_read(broker)),
        (Some(broker), Some(device)) => hold_while(held, async move {
            tokio::join!(wait_until_read(broker), farewell(device, &last));
        }),
    }
}

fn hold_while(held: Held, closing: impl Future<Output = ()> + 'static) {
    event_loop::spawn(async move {
        closing.await;
        drop(held);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::Connection;

    #[test]
    fn an_idle_connection_stays_small() {
        let sizes = [size_of::<Life>(), size_of::<Connection>()];
        assert!(sizes[0] <= 320 && sizes[1] <= 224, "{sizes:?} bytes");
    }
}
