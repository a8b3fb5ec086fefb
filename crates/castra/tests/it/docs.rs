//! Pages of `docs/` that are made from the code.

use std::fs;
use std::path::Path;

use crate::env::TestEnv;

#[test]
fn the_pages_in_the_repository_are_as_the_code_says() {
    let env = TestEnv::new();
    env.castra(["docs", "--out", "docs"]).succeeded();
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    for page in TestEnv::tree(&env.project().join("docs")) {
        let made = fs::read_to_string(env.project().join("docs").join(&page)).unwrap();
        let kept = fs::read_to_string(kept.join(&page)).unwrap_or_default();
        assert!(made == kept, "docs/{page} is not as the code says: run `cargo xtask gen`");
    }
}
