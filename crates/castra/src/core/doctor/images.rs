//! The image store: images whose files were touched, downloads nobody finished. Tests: below.

use std::collections::BTreeMap;
use std::time::Duration;

use plasmavmc_host::image::{Listed, Store, Unfinished};
use plasmavmc_types::ByteSize;

use super::{Check, CheckName};
use crate::core::session::Session;

/// A download that was not written to for this long is under way no more: a stalled one gives up
/// after minutes.
const ABANDONED_AFTER: Duration = Duration::from_secs(3600);

/// Looks at the store. No image is read: `castra image verify` does that.
pub(super) fn check(session: &Session) -> Check {
    let store = Store::new(session.image_store());
    judge(&store.list(), &store.unfinished())
}

fn judge(listed: &[Listed], unfinished: &[Unfinished]) -> Check {
    // Two names can mean one file.
    let files: BTreeMap<_, _> = listed.iter().map(|it| (&it.image.path, it.image.size_bytes)).collect();
    let bytes = files.into_values().sum();
    let summary = match listed.len() {
        0 => "empty: `castra up` fetches what a project names".to_owned(),
        1 => format!("1 image, {}", ByteSize::bytes(bytes)),
        more => format!("{more} images, {}", ByteSize::bytes(bytes)),
    };
    let doubted: Vec<&Listed> = listed.iter().filter(|listed| !listed.trusted).collect();
    let abandoned: Vec<_> = unfinished.iter().filter(|part| part.idle >= ABANDONED_AFTER).collect();
    if doubted.is_empty() && abandoned.is_empty() {
        return Check::ok(CheckName::ImageStore, summary);
    }
    let mut check = Check::warning(CheckName::ImageStore, summary);
    for listed in &doubted {
        let image = &listed.image;
        check.details.push(format!(
            "`{}` was changed since it was verified: {}",
            image.name,
            image.path.display()
        ));
    }
    for part in &abandoned {
        let size = ByteSize::bytes(part.size_bytes);
        check.details.push(format!("a download was never finished: {} ({size})", part.path.display()));
    }
    if !doubted.is_empty() {
        check.hints.push("compare every byte: `castra image verify`".to_owned());
    }
    if !abandoned.is_empty() {
        check.hints.push(
            "`castra image pull NAME` goes on where it ended, `castra image rm NAME` drops it".to_owned(),
        );
    }
    check
}

#[cfg(test)]
mod tests {
    use plasmavmc_host::image::{Arch, Origin, Sha512, StoredImage};
    use plasmavmc_types::{DiskFormat, Timestamp};

    use super::super::CheckStatus;
    use super::*;

    fn listed(trusted: bool) -> Listed {
        let image = StoredImage {
            name: "mine".parse().unwrap(),
            arch: Arch::X86_64,
            path: "/s/sha512/00".into(),
            sha512: Sha512::from_bytes([0; 64]),
            size_bytes: 3 << 20,
            format: DiskFormat::Qcow2,
            origin: Origin::Built,
            stored_at: Timestamp::from_unix_millis(1),
        };
        Listed { image, current: true, trusted }
    }

    fn part(idle: Duration) -> Unfinished {
        Unfinished { path: "/s/partial/x.part".into(), size_bytes: 1 << 20, idle }
    }

    #[test]
    fn a_store_is_good_while_nobody_touched_it() {
        let check = judge(&[listed(true)], &[part(Duration::from_secs(5))]);
        assert_eq!((check.status, check.summary.as_str()), (CheckStatus::Ok, "1 image, 3 MiB"));
    }

    #[test]
    fn a_file_with_two_names_is_counted_once() {
        assert_eq!(judge(&[listed(true), listed(true)], &[]).summary, "2 images, 3 MiB");
    }

    #[test]
    fn a_touched_image_and_an_abandoned_download_have_a_way_out_each() {
        let check = judge(&[listed(false)], &[part(ABANDONED_AFTER)]);
        assert_eq!((check.status, check.details.len(), check.hints.len()), (CheckStatus::Warning, 2, 2));
    }
}
