//! The suite that every backend passes.

use plasmavmc_hypervisor::conformance;

use crate::bench::{Bench, PATIENCE};

#[test]
fn the_real_backend_passes_the_conformance_suite() {
    let bench = Bench::new();
    conformance::run(&bench.backend, &conformance::Bench::patient(conformance::small_spec, PATIENCE));
}
