//! SIMs as keys of tables.

use super::{Imsi, Sim};
use std::borrow::Borrow;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// A SIM as the key of a table by IMSI, without a copy of the IMSI.
#[derive(Debug, Clone)]
pub struct ByImsi(pub Arc<Sim>);

impl Borrow<Imsi> for ByImsi {
    fn borrow(&self) -> &Imsi {
        &self.0.imsi
    }
}

impl Hash for ByImsi {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.imsi.hash(state);
    }
}

impl PartialEq for ByImsi {
    fn eq(&self, other: &Self) -> bool {
        self.0.imsi == other.0.imsi
    }
}

impl Eq for ByImsi {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::SimId;
    use std::collections::HashSet;

    #[test]
    fn sims_are_told_apart_by_their_imsi_alone_and_found_by_it() {
        let key = |sim_id, imsi| {
            let (sim_id, imsi) = (SimId::new(sim_id).unwrap(), Imsi::new(imsi).unwrap());
            ByImsi(Arc::new(Sim::new(sim_id, imsi)))
        };
        let one = key("8981100000000000001", "440100000000001");
        assert_eq!(one, key("8981100000000000002", "440100000000001"));
        assert_ne!(one, key("8981100000000000001", "440100000000002"));
        assert!(HashSet::from([one]).contains(&Imsi::new("440100000000001").unwrap()));
    }
}
