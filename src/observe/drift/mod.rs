//! Differences between what this OpenIM sends and what this build expects: unknown names, older names, callbacks that never
//! come, and the release that it looks like.
//!
//! - `counters`: counters of the names that come.
//! - `names`: a bounded map of counters.
//! - `report`: the report made from the counters.
//! - `print`: a report as text.

mod counters;
mod names;
mod print;
mod report;

pub use counters::{MOST_COMMANDS, MOST_FIELDS, NameCounters};
pub use names::{LONGEST_NAME, OTHER};
pub use print::print;
pub(crate) use print::summary;
pub use report::{Key, LooksLike, Name, Report};
