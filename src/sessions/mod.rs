//! SIM sessions: who is online, and who was.
//!
//! The network that carries the SIM is not asked, so a session is what this relay sees of it: it begins when
//! the first connection of a SIM opens and ends when its last one closes. It is modified when another
//! connection of the SIM opens from another address or with another client id than the one before.

mod history;
mod live;

pub use history::{History, KEPT_A_SIM, KEPT_DAYS, Past};
pub use live::{Event, Events, Kind, Session, Sessions};
