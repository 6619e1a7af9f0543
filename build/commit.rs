//! The commit that a build is made from, for `hookgate --version`.

use std::path::Path;
use std::process::Command;

/// Returns a commit and its date, as in `abcdef0, 2026-11-30`, if the folder is the root of a git clone. It is not asked for
/// the commit of a repository that merely holds the sources.
pub fn of_clone(folder: &Path) -> Option<String> {
    let is_root = git(folder, &["rev-parse", "--show-prefix"])?.is_empty();
    if is_root { git(folder, &["log", "-1", "--format=%h, %cd", "--date=short"]) } else { None }
}

/// Returns the file of a clone that changes with each commit and checkout.
pub fn changes_with(folder: &Path) -> Option<String> {
    let file = |name| Some(folder.join(git(folder, &["rev-parse", "--git-path", name])?));
    let file = [file("logs/HEAD"), file("HEAD")].into_iter().flatten().find(|file| file.exists())?;
    Some(file.display().to_string())
}

/// Runs git; `None` without git or a clone.
fn git(folder: &Path, args: &[&str]) -> Option<String> {
    let output = Command::new("git").arg("-C").arg(folder).args(args).output().ok()?;
    let text = String::from_utf8(output.stdout).ok().filter(|_| output.status.success())?;
    Some(text.trim().to_owned())
}
