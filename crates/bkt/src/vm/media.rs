//! Which medium belongs in which CD-ROM drive.
//!
//! Ours are the media that the manifest wants, or that we put in before; every other medium, and the drive
//! it is in, is someone else's and stays. A drive is emptied rather than removed: an empty one harms
//! nobody, and it can be filled again while the VM runs. Pure. Tests: below, a table and a property.

use std::path::{Path, PathBuf};

use plasmavmc_libvirt::domain::{Cdrom, Edit, Source};

/// The file in a drive, where it holds one.
fn medium(drive: &Cdrom) -> Option<&Path> {
    match &drive.source {
        Source::File(path) => Some(path),
        Source::Empty | Source::Other(_) => None,
    }
}

/// The media in the drives that are `ours`, in the order of the drives.
pub(super) fn current(drives: &[Cdrom], ours: &[PathBuf]) -> Vec<PathBuf> {
    let is_ours = |path: &&Path| ours.iter().any(|own| own == path);
    drives.iter().filter_map(medium).filter(is_ours).map(Path::to_owned).collect()
}

/// The edits after which the media that are ours are `wanted`, in that order. `ours` are those that were
/// put in before, in so far as they are not wanted.
pub(super) fn edits(drives: &[Cdrom], ours: &[PathBuf], wanted: &[PathBuf]) -> Vec<Edit> {
    let mine: Vec<PathBuf> = ours.iter().chain(wanted).cloned().collect();
    if current(drives, &mine) == wanted {
        return Vec::new();
    }
    let usable: Vec<&Cdrom> = drives
        .iter()
        .filter(|drive| match &drive.source {
            Source::Empty => true,
            Source::File(path) => mine.contains(path),
            Source::Other(_) => false,
        })
        .collect();
    let kept = keep_places(&usable, wanted).unwrap_or_else(|| in_order(&usable, wanted));
    let mut edits: Vec<Edit> = Vec::new();
    for (drive, new) in usable.iter().zip(&kept) {
        if medium(drive) != new.as_deref() {
            edits.push(Edit::CdromMedium { target: drive.target.clone(), path: new.clone() });
        }
    }
    let more = wanted.iter().skip(kept.iter().flatten().count());
    // Emptied before they are filled, so that no medium is in two drives on the way.
    edits.sort_by_key(|edit| matches!(edit, Edit::CdromMedium { path: Some(_), .. }));
    edits.extend(more.map(|path| Edit::AddCdrom { path: path.clone() }));
    edits
}

/// Leaves every wanted medium where it is and fills the others into free drives, where that gives the
/// wanted order.
fn keep_places(usable: &[&Cdrom], wanted: &[PathBuf]) -> Option<Vec<Option<PathBuf>>> {
    let mut left: Vec<&PathBuf> = Vec::new();
    let there = |path: &PathBuf| usable.iter().any(|drive| medium(drive) == Some(path));
    left.extend(wanted.iter().filter(|path| !there(path)));
    let mut left = left.into_iter();
    let mut places = Vec::new();
    for drive in usable {
        let stays = medium(drive).filter(|path| wanted.iter().any(|one| one == path)).map(Path::to_owned);
        places.push(stays.or_else(|| left.next().cloned()));
    }
    let result: Vec<&PathBuf> = places.iter().flatten().chain(left).collect();
    (result == wanted.iter().collect::<Vec<_>>()).then_some(places)
}

/// Fills the drives from the first one on.
fn in_order(usable: &[&Cdrom], wanted: &[PathBuf]) -> Vec<Option<PathBuf>> {
    (0..usable.len()).map(|place| wanted.get(place).cloned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn drives(media: &[&str]) -> Vec<Cdrom> {
        let drive = |(place, medium): (usize, &&str)| Cdrom {
            target: format!("sd{}", char::from(b'a' + u8::try_from(place).unwrap())),
            bus: Some("sata".to_owned()),
            source: match *medium {
                "" => Source::Empty,
                "net" => Source::Other("network".to_owned()),
                path => Source::File(path.into()),
            },
        };
        media.iter().enumerate().map(drive).collect()
    }

    fn paths(media: &[&str]) -> Vec<PathBuf> {
        media.iter().map(PathBuf::from).collect()
    }

    /// The drives after the edits, each new one behind the others.
    fn apply(mut drives: Vec<Cdrom>, edits: &[Edit]) -> Vec<Cdrom> {
        for edit in edits {
            match edit {
                Edit::CdromMedium { target, path } => {
                    let drive = drives.iter_mut().find(|drive| drive.target == *target).unwrap();
                    drive.source = path.clone().map_or(Source::Empty, Source::File);
                }
                Edit::AddCdrom { path } => {
                    let target = format!("sd{}", char::from(b'a' + u8::try_from(drives.len()).unwrap()));
                    drives.push(Cdrom { target, bus: None, source: Source::File(path.clone()) });
                }
                other => panic!("{other:?} is not for a drive"),
            }
        }
        drives
    }

    fn shown(edits: &[Edit]) -> Vec<String> {
        let name = |path: &Path| path.display().to_string();
        let one = |edit: &Edit| match edit {
            Edit::CdromMedium { target, path: Some(path) } => format!("{target}={}", name(path)),
            Edit::CdromMedium { target, path: None } => format!("{target}="),
            Edit::AddCdrom { path } => format!("+{}", name(path)),
            other => panic!("{other:?} is not for a drive"),
        };
        edits.iter().map(one).collect()
    }

    #[test]
    fn media_come_and_go_with_the_fewest_edits() {
        for (there, ours, wanted, expected) in [
            (&["/a", "/b"][..], &["/a", "/b"][..], &["/a", "/b"][..], &[][..]),
            (&[], &[], &["/a", "/b"], &["+/a", "+/b"]),
            (&["/a", "/b"], &["/a", "/b"], &["/b"], &["sda="]),
            (&["/a", "/b"], &["/a", "/b"], &["/b", "/a"], &["sda=/b", "sdb=/a"]),
            (&["/a", "/b"], &["/a", "/b"], &[], &["sda=", "sdb="]),
            (&["/a", ""], &["/a"], &["/a", "/c"], &["sdb=/c"]),
            (&["", "/a"], &["/a"], &["/a", "/c"], &["sda=/a", "sdb=/c"]),
            (&["/theirs"], &[], &["/a"], &["+/a"]),
            (&["/theirs", "/a"], &["/a"], &[], &["sdb="]),
            (&["net", ""], &[], &["/a"], &["sdb=/a"]),
        ] {
            let edits = edits(&drives(there), &paths(ours), &paths(wanted));
            assert_eq!(shown(&edits), expected, "{there:?}, ours {ours:?}, wanted {wanted:?}");
        }
    }

    #[test]
    fn only_media_that_are_ours_are_counted() {
        let there = drives(&["/theirs", "/b", "", "/a", "net"]);
        assert_eq!(current(&there, &paths(&["/a", "/b"])), paths(&["/b", "/a"]));
        assert!(current(&there, &[]).is_empty());
    }

    proptest! {
        #[test]
        fn afterwards_ours_are_as_wanted_and_theirs_are_untouched(
            there in proptest::sample::subsequence(vec!["/a", "/b", "/c", "/t", "/u", "", "net"], 0..=7).prop_shuffle(),
            ours in proptest::sample::subsequence(vec!["/a", "/b", "/c"], 0..=3),
            wanted in proptest::sample::subsequence(vec!["/a", "/b", "/c", "/d"], 0..=4).prop_shuffle(),
        ) {
            let (before, ours, wanted) = (drives(&there), paths(&ours), paths(&wanted));
            let edits = edits(&before, &ours, &wanted);
            let after = apply(before.clone(), &edits);
            let mine: Vec<PathBuf> = ours.iter().chain(&wanted).cloned().collect();
            prop_assert_eq!(current(&after, &mine), wanted);
            for (old, new) in before.iter().zip(&after) {
                let theirs = !matches!(&old.source, Source::Empty)
                    && medium(old).is_none_or(|path| !mine.iter().any(|own| own == path));
                prop_assert!(!theirs || old == new, "{:?} became {:?}", old, new);
            }
        }
    }
}
