//! Differences between what this OpenIM sends and what this build expects: unknown names, older names, callbacks that never
//! come, and the release that it looks like.
//!
//! - `unknowns`: counters of unknown commands and fields.
//! - `names`: counters of known commands, and of aliases of fields.
//! - `report`: the report made from them.
//! - `print`: a report as text.

mod names;
mod print;
mod report;
mod unknowns;

pub use names::Names;
pub use print::print;
pub use report::{Field, Key, LooksLike, Name, Report};
pub use unknowns::{LONGEST_NAME, MOST_COMMANDS, MOST_FIELDS, OTHER, Unknowns};
