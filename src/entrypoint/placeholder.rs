//! What of a SIM can be named in topics, user names, passwords and credential ids.

use crate::sim::Sim;

/// What Beam puts where an IMEI belongs that the network does not tell.
pub const UNKNOWN_IMEI: &str = "unknown-imei";

/// The longest value a placeholder can stand for, in bytes: a SIM id.
pub(super) const LONGEST_VALUE: usize = 22;

/// An identifier of the SIM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Placeholder {
    Imsi,
    SimId,
    Imei,
}

impl Placeholder {
    pub(super) fn value(self, sim: &Sim) -> &str {
        match self {
            Self::Imsi => sim.imsi.as_str(),
            Self::SimId => sim.sim_id.as_str(),
            Self::Imei => sim.imei.as_ref().map_or(UNKNOWN_IMEI, |imei| imei.as_str()),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::sim::{Imei, Imsi, SimId};

    /// The SIM of the shipped file, with or without its modem.
    pub(in crate::entrypoint) fn sim(imei: Option<&str>) -> Sim {
        let sim_id = SimId::new("8981100000000000017").unwrap();
        Sim {
            imei: imei.map(|imei| Imei::new(imei).unwrap()),
            ..Sim::new(sim_id, Imsi::new("440103000000001").unwrap())
        }
    }

    #[test]
    fn an_unknown_imei_has_the_word_that_beam_uses() {
        assert_eq!(Placeholder::Imei.value(&sim(None)), "unknown-imei");
        assert_eq!(
            Placeholder::Imei.value(&sim(Some("352709570000018"))),
            "352709570000018"
        );
    }
}
