//! The files that a configuration was read from, polled for changes.
//!
//! Polling instead of inotify (the `notify` crate): Kubernetes swaps a symbolic link above the files and editors replace
//! them, so that each parent folder and link target would be watched and its events debounced, and network file systems
//! would be polled all the same.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::config::{TextOf, text};

/// The states of the files when they were read, and at the last poll.
#[derive(Debug, Default)]
pub(super) struct Files {
    read: States,
    polled: States,
}

type States = BTreeMap<PathBuf, State>;

/// The time of the last change, the length and the inode of a regular file. Kubernetes swaps a symbolic link, and editors
/// rename a new file into place: both change the inode.
type State = Option<(Option<SystemTime>, u64, u64)>;

impl Files {
    /// Returns the result of `load`, and the files that it read. With `again` set, only regular files are read: a pipe has
    /// been emptied by the first time, or would never end.
    pub(super) fn of<T>(again: bool, load: impl FnOnce(TextOf<'_>) -> T) -> (T, Self) {
        let read = RefCell::new(States::new());
        let loaded = load(&|path| {
            // Before the file is read, so that the next poll finds a change made meanwhile.
            read.borrow_mut().entry(path.to_owned()).or_insert_with(|| state(path));
            match again && fs::metadata(path).is_ok_and(|file| !file.is_file() && !file.is_dir()) {
                true => Err(format!("cannot read {}: no regular file, and so not read a second time", path.display())),
                false => text(path),
            }
        });
        let read = read.into_inner();
        (loaded, Self { polled: read.clone(), read })
    }

    /// Polls the files. Returns true once they differ from those that were read, and have been stable for two polls: a
    /// file that still grows is not read.
    pub(super) fn have_changed(&mut self) -> bool {
        let now: States = self.read.keys().map(|path| (path.clone(), state(path))).collect();
        let stable = now == self.polled;
        self.polled = now;
        stable && self.polled != self.read
    }
}

fn state(path: &Path) -> State {
    let file = fs::metadata(path).ok()?;
    // Data in a pipe does not change the configuration.
    file.is_file().then(|| (file.modified().ok(), file.len(), file.ino()))
}
