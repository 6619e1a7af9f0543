//! What this OpenIM does otherwise than this build expects: what is unknown, what has an older name, what never comes, and
//! which release that looks like.
//!
//! - `unknowns`: commands and fields that no row has.
//! - `names`: the commands as they are posted, and fields with an older name.
//! - `report`: what all of that says.
//! - `print`: a report for people.

mod names;
mod print;
mod report;
mod unknowns;

pub use names::Names;
pub use print::print;
pub use report::{Field, Key, LooksLike, Name, Report};
pub use unknowns::{LONGEST_NAME, MOST_COMMANDS, MOST_FIELDS, OTHER, Unknown, Unknowns};
