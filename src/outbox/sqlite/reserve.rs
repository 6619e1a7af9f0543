//! Room on the disk that is given back when it is full: what ends has to be written somewhere before it makes room.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use tracing::debug;

/// The size of the reserve, in bytes: the log of some hundred ends.
const SIZE: usize = 4 << 20;

/// A file of zeros beside the outbox.
#[derive(Debug)]
pub(super) struct Reserve {
    path: PathBuf,
    is_held: bool,
    /// True if its room was given to the disk, and has not been taken again.
    is_given: bool,
}

impl Reserve {
    /// The reserve beside a file: what an earlier process has left is used.
    pub(super) fn beside(path: &Path) -> Self {
        let path = path.with_extension("reserve");
        let is_held = fs::metadata(&path).is_ok_and(|file| file.len() == SIZE as u64);
        Self { path, is_held, is_given: false }
    }

    /// Gives the room back to the disk.
    pub(super) fn free(&mut self) {
        if std::mem::take(&mut self.is_held) {
            // Whether it is there or not, it is of no more use.
            let _ = fs::remove_file(&self.path);
            self.is_given = true;
        }
    }

    /// Returns true if its room was given to the disk, and has not been taken again.
    pub(super) fn is_given(&self) -> bool {
        self.is_given
    }

    /// Takes the room again, all of it or none. Returns true if it has it.
    pub(super) fn fill(&mut self) -> bool {
        if self.is_held {
            return true;
        }
        let filled = File::create(&self.path).and_then(|mut file| {
            file.write_all(&vec![0; SIZE])?;
            file.sync_all()
        });
        self.is_held = filled.is_ok();
        self.is_given &= !self.is_held;
        if let Err(error) = filled {
            debug!(%error, "outbox reserve not made");
            let _ = fs::remove_file(&self.path);
        }
        self.is_held
    }
}
