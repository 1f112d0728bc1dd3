//! simrelay: a self-hosted cellular MQTT relay in the style of SORACOM Beam.
//!
//! A field device speaks plain MQTT to port 1883 and knows nothing else. The relay knows from the source
//! address which SIM calls, applies Beam's rules and the entry point of the SIM's group, and carries the
//! connection to the broker named there, over MQTT or MQTTS.
//!
//! # The house
//!
//! A module imports only what stands on lower floors.
//!
//! | floor | module | owns |
//! |---|---|---|
//! | 0 | [`mqtt`] | the wire: framing, CONNECT and CONNACK patched, topics spliced; sans-io, knows no SIM |
//! | 0 | [`sim`] | who is calling: identifiers, SIMs |
//! | 0 | [`descriptors`] | how many files and sockets may be open |
//! | 0 | [`clock`] | what time it is, whether that can be right, and whether it was set |
//! | 0 | [`credential`] | what a credential is, with its secrets hidden |
//! | 0 | [`json`] | JSON that people write: read strictly, with all that is wrong in it and where |
//! | 0 | [`private_file`] | files that only their owner reads; files replaced whole |
//! | 0 | `alive` | whether a service still does its work |
//! | 0 | [`priority`] | which threads come first |
//! | 0 | `backoff` | how long to wait before the next attempt |
//! | 0 | `complaint` | when what goes on is to be said again |
//! | 0 | `event_loop` | the runtime of the data plane: sockets and tasks of one thread |
//! | 0 | `printable` | text of others, made fit to be shown |
//! | 0 | `report` | numbers of a service, logged when they change |
//! | 0 | `stamp` | whether a file is still the one that was read |
//! | 0 | `timers` | timers, and work that blocks, of threads whose own runtime knows neither |
//! | 1 | [`claim`] | who works with a data folder |
//! | 1 | [`database`] | the SQLite file of the data folder: opened, migrated |
//! | 1 | `http_server` | the connections of an HTTP service of ours, bounded in number and in time |
//! | 1 | [`secret`] | where a secret of a configuration is, and what it is now |
//! | 1 | [`server_tls`] | the certificate that an HTTP service of ours shows |
//! | 1 | [`entrypoint`] | the Beam object: JSON checked into an `EntryPoint`; placeholders and topics |
//! | 2 | [`usage`] | what is counted for the bill; the ledger |
//! | 2 | [`logbook`] | what went wrong, per SIM |
//! | 2 | [`sessions`] | which SIMs are online, and when they were |
//! | 2 | [`store`] | groups, SIMs, credentials: snapshots, changes, files |
//! | 2 | [`upstream`] | the way to a broker: names, TCP, TLS |
//! | 3 | [`site_broker`] | the broker of the site, for services that are MQTT clients |
//! | 3 | [`relay`] | the data plane: accept, handshake, steady state, end |
//! | 3 | `broker` | the embedded broker of a first run (feature `embedded-broker`) |
//! | 4 | [`bridge`] | HTTP to MQTT for phones and scripts: guard, outbox, link |
//! | 4 | [`notifier`] | what is published becomes messages to people: Slack, LINE, mail, webhook, log, database |
//! | 4 | [`explain`] | what a configuration means, in words: `simrelay check`, `simrelay topic` |
//! | 5 | [`doctor`] | from the broker to the subscriber, which step fails: `simrelay doctor` |
//! | 5 | [`api`] | the admin API |
//! | 6 | [`settings`] | flags and environment variables, checked |
//! | 7 | [`serve`], [`cli`], [`logging`] | wiring, signals, the command line, logs |

mod alive;
pub mod api;
mod backoff;
pub mod bridge;
#[cfg(feature = "embedded-broker")]
pub mod broker;
pub mod claim;
pub mod cli;
pub mod clock;
mod complaint;
pub mod credential;
pub mod database;
pub mod descriptors;
pub mod doctor;
pub mod entrypoint;
mod event_loop;
pub mod explain;
mod http_server;
pub mod json;
pub mod logbook;
pub mod logging;
pub mod mqtt;
pub mod notifier;
mod printable;
pub mod priority;
pub mod private_file;
pub mod relay;
mod report;
pub mod secret;
pub mod serve;
pub mod server_tls;
pub mod sessions;
pub mod settings;
pub mod sim;
pub mod site_broker;
mod stamp;
pub mod store;
mod timers;
pub mod upstream;
pub mod usage;
