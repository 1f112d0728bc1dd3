//! Which threads come first when there are not enough cores.

/// Of a thread that is not the data plane: it still gets a quarter of a core that both want.
#[cfg(target_os = "linux")]
const BEHIND: i32 = 5;

/// Has this thread, and those that it starts, stand behind the data plane: while books are written, no device waits.
/// Linux has a priority for each thread; on other systems, where it is the process's, nothing happens.
pub fn stand_behind() {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{getpriority_process, setpriority_process};
        // Without this all works, with more delay on a busy machine.
        if let Ok(priority) = getpriority_process(None) {
            let _ = setpriority_process(None, priority.max(BEHIND));
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use rustix::process::getpriority_process;

    #[test]
    fn it_is_the_thread_and_what_it_starts_that_stands_behind() {
        let before = getpriority_process(None).unwrap();
        let (own, started) = std::thread::spawn(|| {
            stand_behind();
            let started = std::thread::spawn(|| getpriority_process(None).unwrap());
            (getpriority_process(None).unwrap(), started.join().unwrap())
        })
        .join()
        .unwrap();
        assert!(own >= BEHIND && started == own, "{own}, {started}");
        assert_eq!(getpriority_process(None).unwrap(), before);
    }
}
