//! Names of settings in the environment, and those that look like one and are none: such a setting has no effect, and
//! nothing else would say so.

use super::{Settings, bridge, notifier};
use crate::json::nearest;
use clap::Args;

/// How the names begin.
const PREFIX: &str = "SIMRELAY_";

/// Set where this program has started itself again with the settings of the services: the numbers of those of their lines
/// that are no setting, separated by commas.
pub const SETTINGS_APPLIED: &str = "SIMRELAY_SETTINGS_APPLIED";

/// A sentence for each environment variable that is named as a setting and is none.
#[must_use]
pub fn misspelt_in_environment() -> Vec<String> {
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    misspelt(names)
}

fn misspelt(names: impl Iterator<Item = String>) -> Vec<String> {
    let known = known();
    let known: Vec<&str> = known
        .iter()
        .filter_map(|name| name.strip_prefix(PREFIX))
        .collect();
    let mut sentences: Vec<String> = names
        .filter_map(|name| {
            let own = name.strip_prefix(PREFIX)?;
            (!known.contains(&own)).then(|| sentence(&name, nearest(own, &known)))
        })
        .collect();
    sentences.sort_unstable();
    sentences
}

fn sentence(name: &str, nearest: Option<&str>) -> String {
    match nearest {
        Some(known) => format!("{name} is no setting and has no effect; did you mean {PREFIX}{known}?"),
        None => format!("{name} is no setting and has no effect; simrelay --help lists those that there are"),
    }
}

/// Those of all flags, and of what is no flag as it is a secret.
fn known() -> Vec<String> {
    let command = Settings::augment_args(clap::Command::new("simrelay"));
    let flags = command.get_arguments().filter_map(clap::Arg::get_env);
    let flags = flags.map(|name| name.to_string_lossy().into_owned());
    let others = [
        bridge::KEY,
        bridge::PASSWORD,
        notifier::PASSWORD,
        SETTINGS_APPLIED,
    ];
    flags.chain(others.map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_setting_is_told_with_the_nearest_one() {
        let told = |names: &[&str]| misspelt(names.iter().map(|name| (*name).to_owned()));
        let good = [
            "SIMRELAY_DATA",
            "SIMRELAY_BRIDGE_KEY",
            "SIMRELAY_BRIDGE_BROKER_PASSWORD",
            "SIMRELAY_NOTIFIER_BROKER_PASSWORD",
            "SIMRELAY_SETTINGS_APPLIED",
            "SIMRELAY_RELAY_MAX_RATE",
            "PATH",
        ];
        assert_eq!(told(&good), [""; 0]);
        assert_eq!(
            told(&[
                "SIMRELAY_DATTA",
                "SIMRELAY_RELAY_LISTN",
                "SIMRELAY_XYZZY_QUUX_FROB"
            ]),
            [
                "SIMRELAY_DATTA is no setting and has no effect; did you mean SIMRELAY_DATA?",
                "SIMRELAY_RELAY_LISTN is no setting and has no effect; did you mean SIMRELAY_RELAY_LISTEN?",
                "SIMRELAY_XYZZY_QUUX_FROB is no setting and has no effect; simrelay --help lists those that there are",
            ]
        );
    }
}
