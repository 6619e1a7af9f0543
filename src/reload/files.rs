//! The files that a configuration is made of, and whether they are still the same.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::config::{TextOf, text};

/// The files as they were when they were read, and at the last look.
#[derive(Debug, Default)]
pub(super) struct Files {
    read: Looks,
    seen: Looks,
}

type Looks = BTreeMap<PathBuf, Option<Look>>;

/// What tells one state of a file from another. Kubernetes replaces a file by a link that leads elsewhere, editors by
/// another file of the same name; both change the inode.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Look {
    modified: Option<SystemTime>,
    length: u64,
    inode: u64,
}

impl Files {
    /// Returns the result of `load`, and the files that it read. `again` where they were read before: a pipe would be
    /// empty by now, or never end.
    pub(super) fn of<T>(again: bool, load: impl FnOnce(TextOf<'_>) -> T) -> (T, Self) {
        let read = RefCell::new(Looks::new());
        let loaded = load(&|path| {
            // Before it is read: what changes meanwhile is found at the next look.
            read.borrow_mut().entry(path.to_owned()).or_insert_with(|| look(path));
            match again && fs::metadata(path).is_ok_and(|file| !file.is_file() && !file.is_dir()) {
                true => Err(format!("cannot read {}: no regular file, and so not read a second time", path.display())),
                false => text(path),
            }
        });
        let read = read.into_inner();
        (loaded, Self { seen: read.clone(), read })
    }

    /// Looks at them: whether they have changed since they were read, and no more since the last look.
    pub(super) fn have_changed(&mut self) -> bool {
        let now: Looks = self.read.keys().map(|path| (path.clone(), look(path))).collect();
        let settled = now == self.seen;
        self.seen = now;
        settled && self.seen != self.read
    }
}

fn look(path: &Path) -> Option<Look> {
    let file = fs::metadata(path).ok()?;
    // What is written into a pipe is nothing that changes the configuration.
    file.is_file().then(|| Look { modified: file.modified().ok(), length: file.len(), inode: file.ino() })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::Files;

    #[test]
    fn a_file_that_is_still_being_written_is_left_alone() {
        let path = std::env::temp_dir().join(format!("hookgate-files-{}", std::process::id()));
        fs::write(&path, "one").expect("a file");
        let (text, mut files) = Files::of(false, |text_of| text_of(&path));
        assert_eq!(text.as_deref(), Ok("one"));
        assert!(!files.have_changed(), "as it was read");
        fs::write(&path, "two, ").expect("a file");
        assert!(!files.have_changed(), "perhaps not whole");
        fs::write(&path, "two, three").expect("a file");
        assert!(!files.have_changed(), "still growing");
        assert!(files.have_changed(), "the same at two looks");
        fs::remove_file(&path).expect("it is there");
        assert!(!files.have_changed(), "perhaps about to be replaced");
        assert!(files.have_changed(), "gone");
    }
}
