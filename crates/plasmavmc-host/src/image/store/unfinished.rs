//! What downloads and imports that did not finish have left: each would go on, or begin anew, when
//! its image is wanted again. Tests: below.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use super::Store;

/// A file of a download or import that has not finished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfinished {
    /// The file.
    pub path: PathBuf,
    /// Disk space it takes.
    pub size_bytes: u64,
    /// Time since anyone wrote to it. One that is under way is written to all the time.
    pub idle: Duration,
}

impl Store {
    /// Every such file, by name; reads only.
    pub fn unfinished(&self) -> Vec<Unfinished> {
        let now = SystemTime::now();
        let mut found: Vec<Unfinished> = fs::read_dir(self.partial())
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| {
                let meta = entry.metadata().ok().filter(fs::Metadata::is_file)?;
                let idle =
                    meta.modified().ok().and_then(|at| now.duration_since(at).ok()).unwrap_or_default();
                // Blocks of 512 bytes, whatever the file system's own size is.
                Some(Unfinished { path: entry.path(), size_bytes: meta.blocks() * 512, idle })
            })
            .collect();
        found.sort_by(|a, b| a.path.cmp(&b.path));
        found
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn an_old_part_is_told_with_its_age_and_a_store_that_is_not_there_has_none() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path().join("images"));
        assert_eq!(store.unfinished(), []);
        fs::create_dir_all(store.partial()).unwrap();
        let path = store.partial().join("debian-13.x86_64.part");
        fs::write(&path, vec![1; 8192]).unwrap();
        let old = SystemTime::now() - Duration::from_secs(7200);
        File::options().append(true).open(&path).unwrap().set_modified(old).unwrap();
        let found = store.unfinished();
        let [part] = &found[..] else { panic!("{found:?}") };
        assert_eq!(part.path, path);
        assert!(part.size_bytes >= 8192 && part.idle >= Duration::from_secs(7200), "{part:?}");
    }
}
