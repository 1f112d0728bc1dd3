//! The least that a proxy does with epoll: it accepts, dials, reads, writes and closes. It rewrites, counts and logs nothing, has no
//! limits and no timers, and closes both ends when one has ended, whatever the other still had to say. What it costs is what the
//! kernel costs: a proxy of one thread can hardly cost less.

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use slab::Slab;
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

/// What this program is started with to be that proxy; behind it, in turn, where to listen and the broker of there.
pub const FLAG: &str = "--as-floor";

const BACKLOG: i32 = 4096;
/// Connections that are accepted before the open ones are looked at again.
const AT_ONCE: usize = 4;

/// The arguments behind [`FLAG`], if there is one.
pub fn asked_for() -> Option<Vec<SocketAddr>> {
    let mut arguments = std::env::args().skip(1);
    (arguments.next()? == FLAG).then(|| arguments.map(|address| address.parse().unwrap()).collect())
}

/// Is that proxy, for ever.
pub fn run(addresses: &[SocketAddr]) -> io::Result<()> {
    let routes: Vec<_> = addresses
        .chunks_exact(2)
        .map(|route| Ok((listen(route[0])?, route[1])))
        .collect::<io::Result<_>>()?;
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    for (number, (listener, _)) in routes.iter().enumerate() {
        epoll.add(listener, EpollEvent::new(EpollFlags::EPOLLIN, number as u64))?;
    }
    let mut pairs: Slab<Pair> = Slab::new();
    let mut events = vec![EpollEvent::empty(); 1024];
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = match epoll.wait(&mut events, EpollTimeout::NONE) {
            // As when strace begins to watch.
            Err(Errno::EINTR) => continue,
            waited => waited?,
        };
        for event in &events[..count] {
            let number = event.data() as usize;
            let Some(end) = number.checked_sub(routes.len()) else {
                let (listener, broker) = &routes[number];
                for _ in 0..AT_ONCE {
                    let Ok((device, _)) = listener.accept() else { break };
                    let place = pairs.vacant_entry();
                    let first = (routes.len() + 2 * place.key()) as u64;
                    place.insert(Pair::new(device, dial(*broker)?, &epoll, first)?);
                }
                continue;
            };
            // An event of one that went a moment ago may be left.
            let Some(pair) = pairs.get_mut(end / 2) else {
                continue;
            };
            if !pair.look(end % 2, event.events(), &mut buffer) {
                pairs.remove(end / 2);
            }
        }
    }
}

fn socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    Ok(socket)
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket(address)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn dial(broker: SocketAddr) -> io::Result<TcpStream> {
    let socket = socket(broker)?;
    // It goes on by itself.
    let _ = socket.connect(&broker.into());
    Ok(socket.into())
}

/// The device's end of a connection and the broker's.
struct Pair {
    ends: [TcpStream; 2],
    /// What each has not taken yet.
    held: [Vec<u8>; 2],
}

impl Pair {
    fn new(device: TcpStream, broker: TcpStream, epoll: &Epoll, first: u64) -> io::Result<Self> {
        device.set_nonblocking(true)?;
        let both = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLET;
        let ends = [device, broker];
        for (end, number) in ends.iter().zip(first..) {
            epoll.add(end, EpollEvent::new(both, number))?;
        }
        Ok(Self {
            ends,
            held: Default::default(),
        })
    }

    /// Does what an event of an end asks for; whether the connection goes on.
    fn look(&mut self, end: usize, events: EpollFlags, buffer: &mut [u8]) -> bool {
        let other = 1 - end;
        let takes_more = events.contains(EpollFlags::EPOLLOUT) && !self.held[end].is_empty();
        let has_more = events.intersects(!EpollFlags::EPOLLOUT);
        (!takes_more || self.pass(other, buffer)) && (!has_more || self.pass(end, buffer))
    }

    /// Passes on what an end has sent, until it has no more or the other takes no more.
    fn pass(&mut self, from: usize, buffer: &mut [u8]) -> bool {
        let to = 1 - from;
        loop {
            let held = std::mem::take(&mut self.held[to]);
            if !self.send(to, &held) {
                return false;
            }
            if !self.held[to].is_empty() {
                return true;
            }
            match self.ends[from].read(buffer) {
                Ok(0) => return false,
                Ok(length) => {
                    if !self.send(to, &buffer[..length]) {
                        return false;
                    }
                    if length < buffer.len() {
                        return true;
                    }
                }
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            }
        }
    }

    /// Sends what is taken and holds the rest.
    fn send(&mut self, to: usize, bytes: &[u8]) -> bool {
        if bytes.is_empty() {
            return true;
        }
        let sent = match self.ends[to].write(bytes) {
            Ok(sent) => sent,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(_) => return false,
        };
        self.held[to].extend_from_slice(&bytes[sent..]);
        true
    }
}
