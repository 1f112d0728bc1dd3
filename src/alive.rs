//! Whether a service still does its work, for the watchdog.

use tokio::task::AbortHandle;

/// A question that can be asked while a service runs: whether all of its parts do.
pub(crate) fn all_run<const N: usize>(
    service: &'static str,
    parts: [(&'static str, AbortHandle); N],
) -> impl Fn() -> Result<(), String> + Send + Sync + 'static {
    move || match parts.iter().find(|(_, part)| part.is_finished()) {
        Some((name, _)) => Err(format!("the {service}'s {name} ended")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_part_that_ended_is_named() {
        let lasting = tokio::spawn(std::future::pending::<()>());
        let short = tokio::spawn(async {});
        let check = all_run(
            "post office",
            [
                ("counter", lasting.abort_handle()),
                ("queue", short.abort_handle()),
            ],
        );
        short.await.unwrap();
        assert_eq!(check(), Err("the post office's queue ended".to_owned()));
        assert_eq!(
            all_run("post office", [("counter", lasting.abort_handle())])(),
            Ok(())
        );
    }
}
