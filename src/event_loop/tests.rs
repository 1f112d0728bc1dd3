use super::*;
use std::cell::RefCell;
use std::io::Write;
use std::net::SocketAddr;
use std::net::TcpStream as Blocking;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Poll;
use std::thread;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};

fn run<T: 'static>(work: impl Future<Output = T> + 'static) -> T {
    EventLoop::new(|| ()).unwrap().run(work).unwrap()
}

fn listener() -> (TcpListener, SocketAddr) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    (TcpListener::from_std(listener).unwrap(), address)
}

async fn dial(address: SocketAddr) -> io::Result<TcpStream> {
    let kind = socket2::Type::STREAM.nonblocking();
    let socket = socket2::Socket::new(socket2::Domain::for_address(address), kind, None)?;
    TcpStream::connect(socket, address).await
}

/// Both ends of a connection.
pub(crate) async fn pair() -> (TcpStream, TcpStream) {
    let (listener, address) = listener();
    let near = dial(address).await.unwrap();
    (near, listener.accept().await.unwrap().0)
}

#[test]
fn it_gives_what_its_main_task_gives_and_drops_the_others() {
    let kept = Rc::new(());
    let held = Rc::clone(&kept);
    let given = run(async {
        spawn(async move {
            let _held = held;
            std::future::pending::<()>().await;
        });
        yield_now().await;
        7
    });
    assert_eq!((given, Rc::strong_count(&kept)), (7, 1));
}

#[test]
fn a_task_that_panics_is_over_and_the_others_go_on() {
    struct PanicsToo;
    impl Drop for PanicsToo {
        fn drop(&mut self) {
            panic!("when it is dropped");
        }
    }
    let given = run(async {
        let (tell, mut told) = mpsc::unbounded_channel();
        spawn(async move {
            let _tell = tell;
            panic!("a task of a test");
        });
        spawn(async { drop(PanicsToo) });
        spawn(async {
            let _held = PanicsToo;
            std::future::pending::<()>().await;
        });
        told.recv().await
    });
    assert_eq!(given, None::<()>);
}

#[test]
fn that_its_main_task_panicked_is_an_error() {
    let ended = EventLoop::new(|| ()).unwrap().run(async {
        yield_now().await;
        panic!("the main task of a test")
    });
    let error: io::Error = ended.map(|never: ()| never).unwrap_err();
    assert!(error.to_string().contains("panicked"), "{error}");
}

#[test]
fn tasks_are_polled_in_the_order_in_which_they_were_woken() {
    let order = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&order);
    run(async move {
        for number in 0..200 {
            let seen = Rc::clone(&seen);
            spawn(async move {
                seen.borrow_mut().push(number);
                yield_now().await;
                seen.borrow_mut().push(1000 + number);
            });
        }
        while seen.borrow().len() < 400 {
            yield_now().await;
        }
    });
    assert!(
        order.borrow().iter().copied().eq((0..200).chain(1000..1200)),
        "{order:?}"
    );
}

#[test]
fn a_waker_may_be_used_on_any_thread_and_when_its_task_is_over() {
    let woken = run(async {
        let (tell, told) = oneshot::channel();
        let other = thread::spawn(move || {
            thread::sleep(Duration::from_millis(20));
            tell.send(()).unwrap();
        });
        told.await.unwrap();
        other.join().unwrap();
        poll_fn(|cx| Poll::Ready(cx.waker().clone())).await
    });
    // The loop is gone.
    woken.wake_by_ref();
    thread::spawn(move || woken.wake()).join().unwrap();
}

#[test]
fn wakes_of_many_threads_at_once_are_not_lost() {
    const THREADS: usize = 8;
    const EACH: usize = 5_000;
    let got = run(async {
        let (tell, mut told) = mpsc::channel(1);
        for _ in 0..THREADS {
            let tell = tell.clone();
            thread::spawn(move || (0..EACH).for_each(|_| tell.blocking_send(()).unwrap()));
        }
        drop(tell);
        let mut got = 0;
        while told.recv().await.is_some() {
            got += 1;
        }
        got
    });
    assert_eq!(got, THREADS * EACH);
}

#[test]
fn it_says_that_it_waits_only_when_it_has_nothing_to_do() {
    thread_local! {
        static WAITS: Cell<usize> = const { Cell::new(0) };
        static CALL: RefCell<Option<oneshot::Sender<()>>> = const { RefCell::new(None) };
    }
    let here = EventLoop::new(|| {
        WAITS.set(WAITS.get() + 1);
        // Not before it waits, however late that is.
        if let Some(call) = CALL.take() {
            thread::spawn(|| call.send(()).unwrap());
        }
    })
    .unwrap();
    here.run(async {
        for _ in 0..50 {
            yield_now().await;
        }
        assert_eq!(WAITS.get(), 0);
        let (call, called) = oneshot::channel();
        CALL.set(Some(call));
        called.await.unwrap();
        assert_eq!(WAITS.get(), 1);
    })
    .unwrap();
}

#[test]
fn what_another_thread_asks_of_a_task_that_is_polled_is_not_lost() {
    /// Takes what it is asked for when it is polled, as a connection does, and waits for nothing else.
    struct Asked {
        asked: Arc<AtomicBool>,
        waker: Arc<OnceLock<Waker>>,
    }
    impl Future for Asked {
        type Output = ();

        fn poll(self: std::pin::Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
            let _ = self.waker.set(cx.waker().clone());
            if self.asked.load(Ordering::Acquire) {
                self.asked.store(false, Ordering::Release);
            }
            Poll::Pending
        }
    }
    const OVER: u64 = u64::MAX;
    let (asked, waker) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(OnceLock::<Waker>::new()),
    );
    let (round, asks) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let other = {
        let (asked, waker) = (Arc::clone(&asked), Arc::clone(&waker));
        let (round, asks) = (Arc::clone(&round), Arc::clone(&asks));
        thread::spawn(move || {
            for number in 1.. {
                while round.load(Ordering::SeqCst) < number {
                    std::hint::spin_loop();
                }
                if round.load(Ordering::SeqCst) == OVER {
                    return;
                }
                (0..number % 64).for_each(|_| std::hint::spin_loop());
                asked.store(true, Ordering::SeqCst);
                waker.get().unwrap().wake_by_ref();
                asks.store(number, Ordering::SeqCst);
            }
        })
    };
    run(async move {
        spawn(Asked {
            asked: Arc::clone(&asked),
            waker: Arc::clone(&waker),
        });
        yield_now().await;
        // What was written last, and is far away, delays what is written next.
        let mut far_away = vec![0_u64; 1 << 22];
        let until = std::time::Instant::now() + Duration::from_secs(2);
        for number in (1..).take_while(|_| std::time::Instant::now() < until) {
            waker.get().unwrap().wake_by_ref();
            round.store(number, Ordering::SeqCst);
            (0..number * 31 % 64).for_each(|_| std::hint::spin_loop());
            for step in 1..=48 {
                let at = (number * 64 + step).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 42;
                std::hint::black_box(&mut far_away)[at as usize] = number;
            }
            // It is polled while the other one asks.
            yield_now().await;
            while asks.load(Ordering::SeqCst) != number {
                std::hint::spin_loop();
            }
            let until = std::time::Instant::now() + Duration::from_secs(10);
            while asked.load(Ordering::SeqCst) {
                assert!(std::time::Instant::now() < until, "lost in round {number}");
                yield_now().await;
            }
        }
        round.store(OVER, Ordering::SeqCst);
    });
    other.join().unwrap();
}

#[test]
fn who_is_woken_first_goes_before_those_who_wait() {
    let order = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&order);
    run(async move {
        let (mut wakers, woken) = (Vec::new(), Rc::new(Cell::new(false)));
        for number in 0..4 {
            let (waker, mut named) = oneshot::channel();
            let (seen, woken) = (Rc::clone(&seen), Rc::clone(&woken));
            spawn(async move {
                let mut waker = Some(waker);
                poll_fn(move |cx| {
                    waker.take().map(|tell| tell.send(cx.waker().clone()));
                    if woken.get() {
                        Poll::Ready(())
                    } else {
                        Poll::Pending
                    }
                })
                .await;
                seen.borrow_mut().push(number);
            });
            yield_now().await;
            wakers.push(named.try_recv().unwrap());
        }
        woken.set(true);
        wakers[0].wake_by_ref();
        wake_behind_the_sockets(&wakers[1], Order::Last);
        wake_behind_the_sockets(&wakers[2], Order::First);
        wake_first(&wakers[3]);
        while seen.borrow().len() < 4 {
            yield_now().await;
        }
    });
    assert_eq!(*order.borrow(), [3, 0, 2, 1]);
}

#[test]
fn what_lies_behind_urgent_data_is_read() {
    run(async {
        let (mut near, mut far) = pair().await;
        near.write_u8(0).await.unwrap();
        far.read_u8().await.unwrap();
        near.write_all(b"one").await.unwrap();
        socket2::SockRef::from(&near).send_out_of_band(b"!").unwrap();
        near.write_all(b"two").await.unwrap();
        yield_now().await;
        let mut got = Vec::new();
        while got.len() < 6 {
            // More than is there.
            far.read_buf(&mut got).await.unwrap();
        }
        assert_eq!(got, b"onetwo");
    });
}

#[test]
fn what_is_sent_in_any_pieces_arrives_and_then_the_end() {
    run(async {
        let (mut near, mut far) = pair().await;
        let sent: Vec<_> = (0..3_000_000_u32)
            .map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8)
            .collect();
        let expected = sent.clone();
        spawn(async move {
            for piece in sent.chunks(70_001) {
                near.write_all(piece).await.unwrap();
            }
            near.shutdown().await.unwrap();
            // The other direction is still open.
            assert_eq!(near.read_u8().await.unwrap(), 9);
        });
        let mut got = Vec::new();
        far.read_to_end(&mut got).await.unwrap();
        assert!(got == expected);
        // It does not end twice, and never waits for more.
        assert_eq!(far.read(&mut [0; 8]).await.unwrap(), 0);
        far.write_u8(9).await.unwrap();
        yield_now().await;
    });
}

#[test]
fn an_end_that_comes_with_the_last_bytes_is_seen_behind_them() {
    let (bound, address) = oneshot::channel();
    let (closed, told) = oneshot::channel();
    let other = thread::spawn(move || {
        let mut stream = Blocking::connect(address.blocking_recv().unwrap()).unwrap();
        stream.write_all(b"last").unwrap();
        drop(stream);
        closed.send(()).unwrap();
    });
    run(async move {
        let (listener, address) = listener();
        bound.send(address).unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        told.await.unwrap();
        // The kernel tells of both at once.
        let mut buffer = [0; 64];
        assert_eq!(stream.read(&mut buffer).await.unwrap(), 4);
        assert_eq!(stream.read(&mut buffer).await.unwrap(), 0);
    });
    other.join().unwrap();
}

#[test]
fn a_peer_that_takes_nothing_holds_up_only_who_writes_to_it() {
    run(async {
        let (mut near, mut far) = pair().await;
        let written = Rc::new(Cell::new(0));
        let progress = Rc::clone(&written);
        spawn(async move {
            loop {
                progress.set(progress.get() + near.write(&[7; 65_536]).await.unwrap());
            }
        });
        let mut before = usize::MAX;
        while before != written.get() {
            before = written.get();
            for _ in 0..100 {
                yield_now().await;
            }
        }
        let mut buffer = vec![0; before];
        far.read_exact(&mut buffer).await.unwrap();
        assert!(buffer.iter().all(|byte| *byte == 7));
        while written.get() == before {
            far.read_exact(&mut buffer[..1]).await.unwrap();
        }
    });
}

#[test]
fn a_socket_that_always_has_something_leaves_others_their_turn() {
    run(async {
        let (listener, address) = listener();
        let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let stops = Arc::clone(&stop);
        let flood = thread::spawn(move || {
            let mut stream = Blocking::connect(address).unwrap();
            while !stops.load(std::sync::atomic::Ordering::Relaxed) && stream.write_all(&[1; 65_536]).is_ok()
            {
            }
        });
        let (mut stream, _) = listener.accept().await.unwrap();
        let reads = Rc::new(Cell::new(0_usize));
        let counted = Rc::clone(&reads);
        spawn(async move {
            let mut byte = [0];
            while stream.read(&mut byte).await.is_ok_and(|len| len > 0) {
                counted.set(counted.get() + 1);
            }
        });
        while reads.get() == 0 {
            yield_now().await;
        }
        for _ in 0..50 {
            let before = reads.get();
            yield_now().await;
            assert!(
                reads.get() - before <= usize::from(BUDGET),
                "{}",
                reads.get() - before
            );
        }
        assert!(reads.get() > usize::from(BUDGET));
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        drop(flood);
    });
}

#[test]
fn nobody_listening_and_a_broken_connection_are_errors() {
    run(async {
        let (unused, address) = listener();
        drop(unused);
        assert_eq!(
            dial(address).await.unwrap_err().kind(),
            io::ErrorKind::ConnectionRefused
        );
        let (near, mut far) = pair().await;
        socket2::SockRef::from(&near)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
        drop(near);
        let error = far.read(&mut [0; 8]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        let error = far.write_all(b"more").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    });
}

#[test]
fn a_place_that_was_left_is_taken_by_the_next_and_nobody_hears_for_another() {
    run(async {
        for round in 0..200_u8 {
            let (mut near, mut far) = pair().await;
            near.write_u8(round).await.unwrap();
            let idle = pair().await;
            drop(near);
            assert_eq!(far.read_u8().await.unwrap(), round);
            assert_eq!(far.read(&mut [0; 8]).await.unwrap(), 0);
            drop(idle);
        }
        with_here(|here| assert!(here.sources.borrow().is_empty())).unwrap();
    });
}

#[test]
fn loops_of_several_threads_do_not_know_of_one_another() {
    let (tell, told) = oneshot::channel::<SocketAddr>();
    let other = thread::spawn(move || {
        run(async move {
            let (listener, address) = listener();
            tell.send(address).unwrap();
            let (mut stream, _) = listener.accept().await.unwrap();
            let byte = stream.read_u8().await.unwrap();
            stream.write_u8(byte + 1).await.unwrap();
        });
    });
    let answer = run(async move {
        let mut stream = dial(told.await.unwrap()).await.unwrap();
        stream.write_u8(20).await.unwrap();
        stream.read_u8().await.unwrap()
    });
    other.join().unwrap();
    assert_eq!(answer, 21);
}
