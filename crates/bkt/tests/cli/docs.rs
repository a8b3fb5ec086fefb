//! Pages of `docs/` that are made from the code.

use std::fs;
use std::path::Path;

use crate::env::TestEnv;

#[test]
fn the_page_in_the_repository_is_as_the_code_says() {
    let env = TestEnv::new();
    env.bkt(["docs", "--out", "docs"]).ended(0);
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    for page in TestEnv::tree(&env.repo().join("docs")) {
        let kept = fs::read_to_string(kept.join(&page)).unwrap_or_default();
        assert!(env.read(&format!("docs/{page}")) == kept, "docs/{page}: run `cargo xtask gen`");
    }
}
