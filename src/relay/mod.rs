//! The data plane: from a device's TCP connection to its end.
//!
//! | part | what it does |
//! |---|---|
//! | `listen` | sockets that several threads share |
//! | `worker` | a thread, its listeners and its connections |
//! | `limits`, `gate` | how much devices may take, together and each; who may come in now |
//! | `pace` | how fast connections are let in, all together |
//! | `turnstile` | connections open and end a few steps at a time, so that the others are served meanwhile |
//! | `admission` | may this SIM connect, where to and how: no I/O |
//! | `device`, `first_packet`, `caller` | a device that is connecting, or who calls instead, and what is known about it |
//! | `context` | what every connection needs |
//! | `life` | a connection's task: it opens, is open, ends |
//! | `handshake` | from accept to the broker's CONNACK |
//! | `seen` | as whom the broker sees the device |
//! | `carry` | the steady state: both directions in one poll |
//! | `linger` | how long the other side may take once one has ended |
//! | `bypass` | the body of a large packet, from socket to socket |
//! | `portion` | how much of a stream is read at once |
//! | `wheel` | when the idle rule looks at which connection |
//! | `streams` | what is done to the bytes of both directions, by platform version |
//! | `outbox` | what a socket did not take yet |
//! | `registry` | who is connected, seen from outside |
//! | `tokens`, `token_watch` | whose login ends when, and the closing ahead of it |
//! | `service` | the relay as a whole: started, watched, shut down |
//! | `journal` | what is written down of a connection: log line, log book, tally |
//! | `line_budget` | which refusals get a log line of their own |
//! | `books`, `bookkeeper` | where usage and log entries go; the task that writes them every second |
//! | `pulse` | a sign of life of every thread, for the watchdog |
//! | `tally` | numbers since the start |
//! | `farewell` | the last packet to a device, and a close that lets it arrive |
//! | `refusal`, `ending` | why a connection did not come about, why it is over; in words for the log |

mod admission;
mod bookkeeper;
mod books;
mod bypass;
mod caller;
mod carry;
mod context;
mod device;
mod ending;
mod farewell;
mod first_packet;
mod gate;
mod handshake;
mod journal;
mod life;
mod limits;
mod line_budget;
mod linger;
mod listen;
mod outbox;
mod pace;
mod portion;
mod pulse;
mod refusal;
mod registry;
mod seen;
mod service;
mod streams;
mod tally;
mod token_watch;
mod tokens;
mod turnstile;
mod wheel;
mod worker;

pub use admission::Admission;
pub use books::Books;
pub use ending::{Administrative, Ending};
pub use first_packet::FirstPacket;
pub use limits::{Limits, OverLimit};
pub use listen::ListenOn;
pub use pulse::Pulse;
pub use refusal::Refusal;
pub use registry::{Connection, Registry};
pub use service::{Listening, Relay, RelayError, RelaySettings};
pub use tally::{ByKind, OfGroup, Tally, Totals};
pub use tokens::Tokens;
