//! `image list`: what the catalogue and the store have, and who uses it. Reads only.
//!
//! Tests: the merge of catalogue, store and users below; the rest in `tests/it/images.rs`.

use std::path::PathBuf;

use plasmavmc_host::image::catalogue::{BUILT, PUBLISHED};
use plasmavmc_host::image::{Arch, ImageName, Listed, Store};
use schemars::JsonSchema;
use serde::Serialize;

use super::row::{ImageRow, ImageSource, StoredRow};
use super::{host_arch, stored_name};
use crate::config::BaseImage;
use crate::core::error::Error;
use crate::core::output::OperationOutput;
use crate::core::ports::VmRef;
use crate::core::selection::{Target, WorkspaceSelection, targets};
use crate::core::session::Session;

/// The images there are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ImageListOutcome {
    /// The directory of the stored ones.
    pub store: PathBuf,
    /// The images, by name; the bytes a name means today before older ones.
    pub images: Vec<ImageRow>,
}

/// Lists the images of the catalogue for this host's processor, and everything the store has.
///
/// # Errors
/// [`Error::NoImagesForHost`].
pub fn image_list(session: &Session) -> Result<OperationOutput<ImageListOutcome>, Error> {
    let store = Store::new(session.image_store());
    let selected = targets(session, &WorkspaceSelection::All)?;
    let users: Vec<_> = selected.targets.iter().flat_map(users).collect();
    let images = merge(host_arch()?, &store.list(), &users);
    let value = ImageListOutcome { store: store.root().to_owned(), images };
    Ok(OperationOutput { value, diagnostics: selected.notes })
}

/// The VMs of a workspace that name an image, each with the image's own name.
fn users(target: &Target) -> Vec<(String, VmRef)> {
    let vms = target.project.iter().flat_map(|project| &project.vms);
    let user = |vm: &crate::config::VmConfig| match &vm.base_image {
        BaseImage::Catalogue(name) => Some((stored_name(name), VmRef::of(target, &vm.name))),
        BaseImage::Path(_) => None,
    };
    vms.filter_map(user).collect()
}

/// The images that the VMs of a workspace name, each by the name the store has for it.
pub(crate) fn image_names(target: &Target) -> Vec<String> {
    catalogue_names(target).map(stored_name).collect()
}

/// One row per image of the catalogue or the store. Pure.
fn merge(arch: Arch, stored: &[Listed], users: &[(String, VmRef)]) -> Vec<ImageRow> {
    let mut rows: Vec<ImageRow> = stored.iter().map(stored_row).collect();
    for row in catalogue_rows(arch) {
        let fetched =
            rows.iter_mut().find(|found| found.current && found.name == row.name && found.arch == row.arch);
        match fetched {
            None => rows.push(row),
            Some(fetched) => {
                (fetched.aliases, fetched.title) = (row.aliases, row.title);
                if let (ImageSource::Built { recipe }, ImageSource::Built { .. }) =
                    (row.source, &fetched.source)
                {
                    fetched.source = ImageSource::Built { recipe };
                }
            }
        }
    }
    for row in rows.iter_mut().filter(|row| row.current && row.arch == arch.as_str()) {
        let own = users.iter().filter(|(image, _)| *image == row.name);
        row.used_by = own.map(|(_, vm)| vm.clone()).collect();
    }
    rows.sort_by(|a, b| (&a.name, &a.arch, !a.current).cmp(&(&b.name, &b.arch, !b.current)));
    rows
}

fn stored_row(listed: &Listed) -> ImageRow {
    ImageRow {
        name: listed.image.name.to_string(),
        aliases: Vec::new(),
        title: None,
        arch: listed.image.arch.to_string(),
        source: (&listed.image.origin).into(),
        current: listed.current,
        stored: Some(StoredRow::of(&listed.image, listed.trusted)),
        used_by: Vec::new(),
    }
}

/// The catalogue's images for a processor. What is built is built for the host's.
fn catalogue_rows(arch: Arch) -> Vec<ImageRow> {
    let row = |name: &str, aliases: &[&str], title: &str, source| ImageRow {
        name: name.to_owned(),
        aliases: aliases.iter().map(|&alias| alias.to_owned()).collect(),
        title: Some(title.to_owned()),
        arch: arch.to_string(),
        source,
        current: true,
        stored: None,
        used_by: Vec::new(),
    };
    let published = PUBLISHED.iter().filter_map(|image| {
        let source = ImageSource::Published { url: image.source(arch)?.url.to_owned() };
        Some(row(image.name, image.aliases, image.title, source))
    });
    let built = BUILT.iter().map(|image| {
        row(image.name, &[], image.title, ImageSource::Built { recipe: Some(image.target.to_owned()) })
    });
    published.chain(built).collect()
}

/// The names of images in a project's config, once per VM.
pub(super) fn catalogue_names(target: &Target) -> impl Iterator<Item = &ImageName> {
    let vms = target.project.iter().flat_map(|project| &project.vms);
    vms.filter_map(|vm| match &vm.base_image {
        BaseImage::Catalogue(name) => Some(name),
        BaseImage::Path(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use plasmavmc_host::image::{Origin, Sha512, StoredImage};
    use plasmavmc_types::{DiskFormat, Timestamp};

    use super::*;

    fn listed(name: &str, byte: u8, current: bool, origin: Origin) -> Listed {
        let image = StoredImage {
            name: name.parse().unwrap(),
            arch: Arch::X86_64,
            path: Path::new("/store").join(name),
            sha512: Sha512::from_bytes([byte; 64]),
            size_bytes: 7,
            format: DiskFormat::Qcow2,
            origin,
            stored_at: Timestamp::from_unix_millis(1),
        };
        Listed { image, current, trusted: true }
    }

    fn downloaded() -> Origin {
        Origin::Downloaded { url: "https://example.org/x".to_owned(), publisher: None, validator: None }
    }

    #[test]
    fn an_image_of_the_catalogue_is_listed_once_whether_stored_or_not() {
        let stored = vec![listed("debian-13", 1, true, downloaded())];
        let rows = merge(Arch::X86_64, &stored, &[]);
        let debian: Vec<_> = rows.iter().filter(|row| row.name == "debian-13").collect();
        let [debian] = debian[..] else { panic!("{rows:?}") };
        assert!(debian.stored.is_some() && debian.title.is_some());
        assert!(debian.aliases.contains(&"debian".to_owned()));
        assert_eq!(rows.iter().filter(|row| row.stored.is_some()).count(), 1);
        assert_eq!(rows.len(), merge(Arch::X86_64, &[], &[]).len());
    }

    #[test]
    fn older_bytes_are_listed_after_the_current_ones_and_used_by_nobody() {
        let stored = vec![
            listed("debian-13", 1, false, downloaded()),
            listed("debian-13", 2, true, downloaded()),
            listed("mine", 3, true, Origin::Imported { from: "/tmp/x".into() }),
        ];
        let vm = VmRef {
            workspace: "web-0123456789ab".parse().unwrap(),
            project: "web".to_owned(),
            vm: "db".parse().unwrap(),
            root: "/w".into(),
        };
        let rows = merge(Arch::X86_64, &stored, &[("debian-13".to_owned(), vm.clone())]);
        let debian: Vec<_> = rows.iter().filter(|row| row.name == "debian-13").collect();
        assert_eq!(debian.iter().map(|row| row.current).collect::<Vec<_>>(), [true, false]);
        assert_eq!(debian.iter().map(|row| row.used_by.len()).collect::<Vec<_>>(), [1, 0]);
        assert!(rows.iter().any(|row| row.name == "mine" && row.title.is_none()));
    }

    #[test]
    fn a_built_image_says_how_it_is_built_again() {
        let rows = merge(Arch::X86_64, &[listed("debian-built", 1, true, Origin::Built)], &[]);
        let row = rows.iter().find(|row| row.name == "debian-built").unwrap();
        assert_eq!(row.source, ImageSource::Built { recipe: Some("debian".to_owned()) });
    }
}
