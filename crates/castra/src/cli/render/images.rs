//! The answers of `castra image`.

use plasmavmc_term::{Column, Table};

use super::style::{path, size};
use plasmavmc_cli::Detail;

use crate::cli::face::View;
use crate::core::images::{
    ImageCheck, ImageListOutcome, ImagePullOutcome, ImageRemoveOutcome, ImageRow, ImageSource,
    ImageStoredOutcome, ImageVerifyOutcome, StoredRow,
};

pub(crate) fn images(outcome: &ImageListOutcome, view: View) -> String {
    let mut columns = ["NAME", "ARCH", "HERE", "FROM", "USED BY"].map(Column::text).to_vec();
    if view.detail == Detail::Full {
        columns.push(Column::text("SHA-512"));
    }
    let mut table = Table::new(columns);
    for row in &outcome.images {
        let mut cells = vec![names(row), row.arch.clone(), here(row), from(row, view.detail), users(row)];
        if view.detail == Detail::Full {
            cells.push(row.stored.as_ref().map(|stored| stored.sha512.clone()).unwrap_or_default());
        }
        table.row(cells);
    }
    format!(
        "{}\nStored in {}; `castra image pull NAME` gets one\n",
        table.render(view.width),
        path(&outcome.store)
    )
}

fn names(row: &ImageRow) -> String {
    let older = if row.current { "" } else { " (older)" };
    match row.aliases.as_slice() {
        [] => format!("{}{older}", row.name),
        aliases => format!("{} = {}{older}", row.name, aliases.join(" = ")),
    }
}

fn here(row: &ImageRow) -> String {
    match &row.stored {
        None => String::new(),
        Some(StoredRow { trusted: true, size_bytes, .. }) => size(*size_bytes),
        Some(stored) => format!("{}, changed since it was verified", size(stored.size_bytes)),
    }
}

fn from(row: &ImageRow, detail: Detail) -> String {
    match &row.source {
        ImageSource::Published { url } if detail == Detail::Full => url.clone(),
        ImageSource::Published { url } => host_of(url).to_owned(),
        ImageSource::Imported { from } => path(from),
        ImageSource::Built { recipe: Some(recipe) } => format!("castra image build {recipe}"),
        ImageSource::Built { recipe: None } => "built here".to_owned(),
    }
}

/// The server in a URL.
fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split('/').next().unwrap_or(rest)
}

fn users(row: &ImageRow) -> String {
    let names: Vec<_> = row.used_by.iter().map(|vm| format!("{}/{}", vm.project, vm.vm)).collect();
    names.join(" ")
}

pub(crate) fn pulled(outcome: &ImagePullOutcome, view: View) -> String {
    let mut text: String =
        outcome.images.iter().map(|image| one_stored(&image.name, &image.stored, view)).collect();
    if let Some(lockfile) = &outcome.lockfile {
        text.push_str(&format!("Pinned in {}\n", path(lockfile)));
    }
    text
}

pub(crate) fn stored(outcome: &ImageStoredOutcome, view: View) -> String {
    one_stored(&outcome.name, &outcome.stored, view)
        + &format!("Use it with `base_image = \"{}\"`\n", outcome.name)
}

fn one_stored(name: &str, stored: &StoredRow, view: View) -> String {
    let mut text = format!("Image {name}, {}, is here and verified\n", size(stored.size_bytes));
    if view.detail == Detail::Full {
        text.push_str(&format!("  sha512 {}\n  file   {}\n", stored.sha512, path(&stored.path)));
    }
    text
}

pub(crate) fn removed(outcome: &ImageRemoveOutcome, _: View) -> String {
    let line = |image: &crate::core::images::RemovedImage| {
        format!("Removed image {}, {} reclaimed\n", image.name, size(image.reclaimed_bytes))
    };
    outcome.images.iter().map(line).collect()
}

pub(crate) fn verified(outcome: &ImageVerifyOutcome, view: View) -> String {
    if outcome.images.is_empty() {
        return "No images are here yet\n".to_owned();
    }
    let mut table = Table::new(["NAME", "ARCH", "CHECK", "FILE"].map(Column::text));
    for image in &outcome.images {
        let check = match image.check {
            ImageCheck::Intact => "intact",
            ImageCheck::Altered => "altered: the next `castra up` gets it anew",
            ImageCheck::Missing => "missing",
        };
        table.row([image.name.clone(), image.arch.clone(), check.to_owned(), path(&image.path)]);
    }
    table.render(view.width)
}

#[cfg(test)]
mod tests {
    use plasmavmc_types::Timestamp;

    use super::super::samples::{FULL, WIDE, plain};
    use super::*;
    use crate::core::images::{PulledImage, RemovedImage, VerifiedImage};
    use crate::core::ports::VmRef;

    fn stored_row(trusted: bool) -> StoredRow {
        StoredRow {
            path: "/home/me/.castra/images/sha512/ab".into(),
            sha512: "ab".repeat(4),
            size_bytes: 180 << 20,
            stored_at: Timestamp::from_unix_millis(1),
            trusted,
        }
    }

    fn row(name: &str, source: ImageSource) -> ImageRow {
        ImageRow {
            name: name.to_owned(),
            aliases: Vec::new(),
            title: None,
            arch: "x86_64".to_owned(),
            source,
            current: true,
            stored: None,
            used_by: Vec::new(),
        }
    }

    #[test]
    fn what_is_here_and_what_could_be_stand_in_one_table() {
        let used_by = vec![VmRef {
            workspace: "shop-0123456789ab".parse().unwrap(),
            project: "shop".to_owned(),
            vm: "web".parse().unwrap(),
            root: "/w/shop".into(),
        }];
        let url = "https://cloud.debian.org/images/x.qcow2".to_owned();
        let debian = ImageRow {
            aliases: vec!["debian".to_owned()],
            stored: Some(stored_row(true)),
            used_by,
            ..row("debian-13", ImageSource::Published { url })
        };
        let mine = ImageRow {
            stored: Some(stored_row(false)),
            ..row("mine", ImageSource::Imported { from: "/src/disk.qcow2".into() })
        };
        let tiny = row("tiny", ImageSource::Built { recipe: Some("tiny".to_owned()) });
        let outcome =
            ImageListOutcome { store: "/home/me/.castra/images".into(), images: vec![debian, mine, tiny] };
        insta::assert_snapshot!(plain(&images(&outcome, WIDE)), @r"
        NAME                ARCH    HERE                                    FROM                     USED BY
        debian-13 = debian  x86_64  180 MiB                                 cloud.debian.org         shop/web
        mine                x86_64  180 MiB, changed since it was verified  /src/disk.qcow2          -
        tiny                x86_64  -                                       castra image build tiny  -

        Stored in /home/me/.castra/images; `castra image pull NAME` gets one
        ");
    }

    #[test]
    fn what_was_got_and_removed_is_told_with_its_size() {
        let image = PulledImage { name: "debian-13".to_owned(), stored: stored_row(true) };
        let outcome = ImagePullOutcome { images: vec![image], lockfile: Some("/src/castra.lock".into()) };
        let gone = RemovedImage { name: "mine".to_owned(), reclaimed_bytes: 1 << 20, workspace_links: 0 };
        let text = pulled(&outcome, FULL)
            + &stored(&ImageStoredOutcome { name: "tiny".to_owned(), stored: stored_row(true) }, WIDE)
            + &removed(&ImageRemoveOutcome { images: vec![gone] }, WIDE);
        insta::assert_snapshot!(text, @r#"
        Image debian-13, 180 MiB, is here and verified
          sha512 abababab
          file   /home/me/.castra/images/sha512/ab
        Pinned in /src/castra.lock
        Image tiny, 180 MiB, is here and verified
        Use it with `base_image = "tiny"`
        Removed image mine, 1 MiB reclaimed
        "#);
    }

    #[test]
    fn a_damaged_image_is_told_from_an_intact_one() {
        let image = |name: &str, check| VerifiedImage {
            name: name.to_owned(),
            arch: "x86_64".to_owned(),
            path: "/s/ab".into(),
            sha512: "ab".to_owned(),
            check,
        };
        let images = vec![image("a", ImageCheck::Intact), image("b", ImageCheck::Altered)];
        insta::assert_snapshot!(plain(&verified(&ImageVerifyOutcome { images }, WIDE)), @r"
        NAME  ARCH    CHECK                                       FILE
        a     x86_64  intact                                      /s/ab
        b     x86_64  altered: the next `castra up` gets it anew  /s/ab
        ");
    }
}
