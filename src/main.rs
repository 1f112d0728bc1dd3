//! The `simrelay` command.

use anyhow::Context;
use clap::Parser;
use simrelay::cli::{Cli, Command};
use simrelay::serve;
use std::process::ExitCode;

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            simrelay::cli::say_error(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    // Other crates bring ring as well; with two providers rustls would not choose by itself.
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        anyhow::bail!("a TLS provider was installed before main");
    }
    let settings = cli.settings;
    match cli.command.unwrap_or(Command::Run) {
        Command::Run => {
            let format = settings.log.unwrap_or_else(simrelay::logging::default_format);
            let _log = simrelay::logging::init(format, &settings.log_level)?;
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .thread_name("services")
                .enable_all()
                .build()
                .context("cannot start threads")?;
            runtime.block_on(serve::run(&settings, format))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Check { file: _ } => Ok(ExitCode::SUCCESS),
        Command::Topic { imsi: _, topic: _ } => Ok(ExitCode::SUCCESS),
    }
}
