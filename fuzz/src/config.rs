//! A `castra.toml`: comes with a repository, so from anyone.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use castra::config::{Environment, Fault, Project, from_snapshot, limits, parse_bytes, to_snapshot};
use castra::env::UserDirs;

static DIRS: LazyLock<UserDirs> = LazyLock::new(|| {
    UserDirs::from_values(None, Some("/home/me".into())).expect("a home directory is enough")
});
static ENV: LazyLock<Environment> = LazyLock::new(|| Environment::new("/src/web/castra.toml", &DIRS));

/// Every text is a project that keeps its promises, or faults that can be shown.
pub fn check(bytes: &[u8]) {
    match parse_bytes(bytes, &ENV) {
        Ok(project) => check_project(&project),
        Err(faults) => check_faults(bytes, &faults),
    }
}

/// What is shared by nobody is unique, and a snapshot keeps everything.
fn check_project(project: &Project) {
    let unique = |values: Vec<String>| values.iter().collect::<BTreeSet<_>>().len() == values.len();
    let vms = &project.vms;
    assert!((1..=limits::MAX_VMS as usize).contains(&vms.len()));
    assert!(unique(vms.iter().map(|vm| vm.name.as_str().to_ascii_lowercase()).collect()));
    assert!(unique(vms.iter().map(|vm| vm.overlay.display().to_string()).collect()));
    for vm in vms {
        assert!(vm.overlay.is_absolute());
        assert!(vm.cpus.get() <= limits::MAX_CPUS && vm.memory >= limits::MIN_MEMORY, "{vm:?}");
        assert!(vm.port_forwards.len() <= limits::MAX_PORT_FORWARDS);
    }
    let forwards: Vec<_> = vms.iter().flat_map(|vm| &vm.port_forwards).collect();
    for (n, one) in forwards.iter().enumerate().take(100) {
        assert!(forwards[n + 1..].iter().all(|other| !one.clashes_with(other)), "{one:?}");
    }
    let text = to_snapshot(project);
    let read = from_snapshot(&text, &project.config_path, &DIRS);
    assert_eq!(read.as_ref(), Ok(project), "{text}");
}

/// Faults point into the file, in its order, and cannot play with a terminal.
fn check_faults(bytes: &[u8], faults: &[Fault]) {
    assert!((1..=limits::MAX_FAULTS).contains(&faults.len()));
    assert!(faults.is_sorted_by_key(|fault| fault.span.start));
    for fault in faults {
        let span = fault.span;
        assert!(span.start <= span.end && span.end <= bytes.len(), "{fault:?}");
        let lines = bytes[..span.start].iter().filter(|&&byte| byte == b'\n').count();
        assert_eq!(fault.position.line, lines + 1, "{fault:?}");
        if let Ok(text) = std::str::from_utf8(bytes) {
            assert!(text.is_char_boundary(span.start) && text.is_char_boundary(span.end), "{fault:?}");
        }
        let told = [Some(&fault.message), Some(&fault.key), fault.found.as_ref(), fault.suggestion.as_ref()];
        for told in told.into_iter().flatten() {
            assert!(!told.contains(char::is_control) && told.chars().count() < 1000, "{fault:?}");
        }
        assert!(!fault.message.is_empty() && !fault.message.ends_with('.'), "{fault:?}");
    }
}
