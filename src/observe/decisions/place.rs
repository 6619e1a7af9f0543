//! Where the decision log is written: standard output, or a file that may be moved away under it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tracing::warn;

use crate::config::DecisionsTo;
use crate::observe::lines::Target;

/// How often the file is looked for by its name.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How often at most the log says that something is wrong here.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// The place.
pub(super) struct Place {
    file: File,
    /// Its name, unless it is standard output.
    path: Option<PathBuf>,
    looked: Instant,
    said: Option<Instant>,
    /// Lines that are missing without a word about it.
    untold: u64,
    /// The last reason for that, if it is another than want of room.
    why: Option<String>,
}

impl Place {
    /// Opens it. The error is a sentence.
    pub(super) fn open(to: &DecisionsTo) -> io::Result<Self> {
        let (file, path) = match to {
            DecisionsTo::Stdout => (File::from(io::stdout().as_fd().try_clone_to_owned()?), None),
            DecisionsTo::File(path) => (append_to(path)?, Some(path.clone())),
        };
        Ok(Self { file, path, looked: Instant::now(), said: None, untold: 0, why: None })
    }

    /// Whether the file is still the one with its name.
    fn is_current(&self, path: &Path) -> bool {
        let identity = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
        let (ours, named) = (self.file.metadata().map(identity), fs::metadata(path).map(identity));
        ours.is_ok_and(|ours| named.is_ok_and(|named| named == ours))
    }

    /// Tells the log of what is missing, now and then.
    fn say(&mut self) {
        self.said = Some(Instant::now());
        let (left_out, why) = (std::mem::take(&mut self.untold), self.why.take());
        let cause = why.as_deref().unwrap_or("whoever takes them is too slow");
        warn!(left_out, cause, "lines of the decision log are left out");
    }

    fn may_say(&self) -> bool {
        self.said.is_none_or(|said| said.elapsed() >= SAY_EVERY)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.untold > 0 {
            self.say();
        }
    }
}

impl Write for Place {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        self.file.write(lines)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Target for Place {
    fn refresh(&mut self, asked: bool) {
        let Some(path) = &self.path else { return };
        if !asked && self.looked.elapsed() < LOOK_EVERY {
            return;
        }
        self.looked = Instant::now();
        if !asked && self.is_current(path) {
            return;
        }
        match append_to(path) {
            Ok(file) => self.file = file,
            Err(error) if self.may_say() => {
                self.said = Some(Instant::now());
                let cause = error.to_string();
                warn!(cause, "the decision log goes on where it was: its file cannot be opened again");
            }
            Err(_) => {}
        }
    }

    fn take_back(&mut self, bytes: usize) -> bool {
        let length = self.file.metadata().ok().filter(fs::Metadata::is_file).map(|metadata| metadata.len());
        let whole = length.and_then(|length| length.checked_sub(bytes as u64));
        whole.is_some_and(|whole| self.file.set_len(whole).is_ok())
    }

    fn left_out(&mut self, lines: u64, why: Option<&io::Error>) -> Option<String> {
        self.untold += lines;
        if let Some(why) = why {
            self.why = Some(why.to_string());
        }
        if self.may_say() {
            self.say();
        }
        // What reads the lines expects verdicts and nothing else.
        None
    }
}

/// Whether lines could be appended to the file. Leaves nothing behind.
pub(super) fn check(path: &Path) -> io::Result<()> {
    let is_new = !path.exists();
    append_to(path)?;
    if is_new { fs::remove_file(path) } else { Ok(()) }
}

fn append_to(path: &Path) -> io::Result<File> {
    let named = |error: &dyn std::fmt::Display| format!("cannot write {}: {error}", path.display());
    if fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_fifo()) {
        let why = "it is a named pipe, whose reader would have to be there first; write to stdout and pipe that";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, named(&why)));
    }
    // It says who did what to whom: not for everybody.
    let file = OpenOptions::new().append(true).create(true).mode(0o640).open(path);
    file.map_err(|error| io::Error::new(error.kind(), named(&error)))
}
