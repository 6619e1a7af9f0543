//! A file that lines are appended to, or an output that the process was started with.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tracing::warn;

use super::log_limit::LogLimit;
use super::writer::Sink;

/// Interval of the checks for rotation, which look at the disk.
const ROTATION_CHECK: Duration = Duration::from_secs(1);

/// Interval with at most one log message about a file that cannot be reopened, in seconds.
const WARN_INTERVAL: u64 = 10;

/// The refusal of a named pipe, which cannot be opened before a reader has opened it.
const NAMED_PIPE: &str = "it is a named pipe, whose reader would have to be there first; write to stdout and pipe that";

/// An open file. One that was opened by its path follows log rotation: if the path names another file, or none, it is
/// opened again.
pub(crate) struct FileSink {
    file: File,
    /// None for an inherited output.
    path: Option<PathBuf>,
    next_check: Instant,
    warnings: LogLimit,
}

impl FileSink {
    /// Returns a sink to standard output or standard error, past the lock of the standard library: a thread that blocks on
    /// a full pipe would keep it for ever.
    pub(crate) fn inherited(output: impl AsFd) -> io::Result<Self> {
        let file = File::from(output.as_fd().try_clone_to_owned()?);
        Ok(Self { file, path: None, next_check: Instant::now(), warnings: LogLimit::default() })
    }

    /// Opens or creates a file to append to. The error is a sentence with the path.
    pub(crate) fn append_to(path: &Path) -> io::Result<Self> {
        let next_check = Instant::now() + ROTATION_CHECK;
        Ok(Self { file: open(path)?, path: Some(path.to_owned()), next_check, warnings: LogLimit::default() })
    }
}

impl Sink for FileSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn reopen_if_rotated(&mut self) {
        let Some(path) = self.path.as_deref().filter(|_| Instant::now() >= self.next_check) else { return };
        self.next_check = Instant::now() + ROTATION_CHECK;
        if !is_rotated(&self.file, path) {
            return;
        }
        match open(path) {
            Ok(file) => self.file = file,
            Err(error) => self.warnings.log(WARN_INTERVAL, |_| {
                warn!(%error, "rotated file not reopened, writing to the old one");
            }),
        }
    }

    fn truncate(&mut self, bytes: usize) -> bool {
        // An inherited file need not be in append mode: what is written next would leave a gap.
        self.path.is_some()
            && self.file.metadata().is_ok_and(|metadata| {
                metadata.is_file() && self.file.set_len(metadata.len().saturating_sub(bytes as u64)).is_ok()
            })
    }
}

/// Returns true if the path no longer names the open file.
fn is_rotated(file: &File, path: &Path) -> bool {
    let identity = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    fs::metadata(path).map(identity).ok() != file.metadata().map(identity).ok()
}

fn open(path: &Path) -> io::Result<File> {
    let opened = match fs::metadata(path) {
        Ok(metadata) if metadata.file_type().is_fifo() => Err(io::Error::new(ErrorKind::InvalidInput, NAMED_PIPE)),
        // Not readable by everybody: decisions say who did what to whom.
        _ => File::options().append(true).create(true).mode(0o640).open(path),
    };
    opened.map_err(|error| io::Error::new(error.kind(), format!("cannot write {}: {error}", path.display())))
}
