//! The `simrelay` command.

use anyhow::Context;
use clap::Parser;
use simrelay::cli::{
    Cli, Command, apply_settings_of_services, auth_key, doctor, find_data_of_services,
    find_entry_points_of_services, notifications, parked, say, say_error, unknown_to_servers,
};
use simrelay::serve::StartError;
use simrelay::settings::{LogFormat, Settings, misspelt_in_environment};
use simrelay::store::{FileStore, Store};
use simrelay::{explain, serve};
use std::process::ExitCode;
use std::time::Duration;

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            say_error(&whole(&error));
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    // Other crates bring ring as well; with two providers rustls would not choose by itself.
    if rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .is_err()
    {
        anyhow::bail!("a TLS provider was installed before main");
    }
    let settings = cli.settings;
    match cli.command.unwrap_or(Command::Run) {
        Command::Run => serving(&settings, serve::run),
        Command::Relay => serving(&settings.for_relay(), serve::run),
        Command::Notifier => serving(&settings, serve::notifier),
        Command::Bridge => serving(&settings, serve::bridge),
        Command::Check { file } => {
            let report = block_on(explain::check(&file, &settings.certs_of(&file)))??;
            say(&report.to_string())?;
            Ok(exit_code(report.is_good()))
        }
        Command::Topic { imsi, topic } => {
            find_entry_points_of_services(&settings)?;
            let (store, _) = FileStore::open_with_notes(settings.entrypoints().path())?;
            say(&explain::topic(&store.snapshot(), &imsi.parse()?, &topic)?)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Doctor(command) => {
            apply_settings_of_services(&command.settings())?;
            let diagnosis = block_on(doctor(&command, &settings))?;
            if command.json {
                say(&format!("{:#}", diagnosis.json()))?;
            } else {
                say(&diagnosis.to_string())?;
            }
            Ok(exit_code(diagnosis.is_good()))
        }
        Command::Notifications(command) => {
            find_data_of_services(&settings)?;
            say(&block_on(notifications(&command, &settings))??)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Parked(command) => {
            find_data_of_services(&settings)?;
            say(&block_on(parked(&command, &settings))??)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::AuthKey(command) => {
            find_data_of_services(&settings)?;
            // Whether it is new is seen before the key is there; it is said behind what the key is saved from.
            let warning = unknown_to_servers(&command, &settings);
            say(&auth_key(&command, &settings)?)?;
            warning.iter().for_each(|warning| say_error(warning));
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn exit_code(is_good: bool) -> ExitCode {
    if is_good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Runs a service until it is told to end.
fn serving(
    settings: &Settings,
    service: impl AsyncFnOnce(&Settings, LogFormat) -> Result<(), StartError>,
) -> anyhow::Result<ExitCode> {
    let format = settings.log.unwrap_or_else(simrelay::logging::default_format);
    let _log = simrelay::logging::init(format, &settings.log_level)?;
    for sentence in misspelt_in_environment() {
        tracing::warn!(event = "unknown_setting", "{sentence}");
    }
    block_on(service(settings, format))??;
    Ok(ExitCode::SUCCESS)
}

/// How long what blocks may go on at the end: enough for a file to be written, while a name that is being looked up
/// cannot be interrupted.
const BEHIND_THE_END: Duration = Duration::from_secs(1);

/// Does `work` on the threads of everything that is not the data plane.
fn block_on<T>(work: impl Future<Output = T>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("services")
        .on_thread_start(simrelay::priority::stand_behind)
        .enable_all()
        .build()
        .context("cannot start threads")?;
    let done = runtime.block_on(work);
    runtime.shutdown_timeout(BEHIND_THE_END);
    Ok(done)
}

/// An error with those of its causes that its own words do not hold already.
fn whole(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}
