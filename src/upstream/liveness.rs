//! A broker that vanished without a word: its machine lost power, a firewall forgot the connection.

use socket2::{Socket, TcpKeepalive};
use std::io;
use std::time::Duration;

/// Silence after which the broker's kernel is asked whether it is there.
const ASK_AFTER: Duration = Duration::from_secs(30);
/// Between two questions.
const ASK_EVERY: Duration = Duration::from_secs(10);
/// Questions without an answer that end the connection, on a system without [`UNACKNOWLEDGED`].
#[cfg(not(target_os = "linux"))]
const QUESTIONS: u32 = 3;
/// How long what was sent may stay unacknowledged by the broker's kernel, or unwanted by it. For Linux it also ends the
/// questions, however many they were (tcp(7)).
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED: Duration = Duration::from_secs(60);

/// Has the system end the connection within a minute once nobody is at the other end.
///
/// # Errors
/// Those of the system.
pub(super) fn watch(socket: &Socket) -> io::Result<()> {
    let questions = TcpKeepalive::new().with_time(ASK_AFTER).with_interval(ASK_EVERY);
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED))?;
    #[cfg(not(target_os = "linux"))]
    let questions = questions.with_retries(QUESTIONS);
    socket.set_tcp_keepalive(&questions)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use socket2::{Domain, Type};

    #[test]
    fn a_broker_that_vanishes_is_missed_within_a_minute() {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        watch(&socket).unwrap();
        assert!(socket.keepalive().unwrap());
        let (first, between) = (
            socket.tcp_keepalive_time().unwrap(),
            socket.tcp_keepalive_interval().unwrap(),
        );
        // The question that finds the time to be up is one of these.
        assert_eq!(first + 3 * between, Duration::from_secs(60));
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(first + 3 * between));
    }
}
