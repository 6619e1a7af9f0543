//! Connections of which only so many are served at a time: one more ends the oldest of them.

use std::collections::VecDeque;

use rlimit::Resource;
use tokio::task::AbortHandle;

/// Tasks that serve connections, the oldest first.
#[derive(Debug)]
pub(crate) struct Crowd {
    tasks: VecDeque<AbortHandle>,
    most: usize,
}

impl Crowd {
    pub(crate) fn of_at_most(most: usize) -> Self {
        Self { tasks: VecDeque::new(), most }
    }

    /// Adds a connection. Where there are too many it ends the oldest, and returns true.
    pub(crate) fn add(&mut self, task: AbortHandle) -> bool {
        if self.tasks.len() >= self.most {
            self.tasks.retain(|task| !task.is_finished());
        }
        let ended = self.tasks.len() >= self.most && self.end_oldest();
        self.tasks.push_back(task);
        ended
    }

    /// Ends the oldest connection. Returns false where there is none.
    pub(crate) fn end_oldest(&mut self) -> bool {
        let oldest = self.tasks.pop_front();
        oldest.inspect(AbortHandle::abort).is_some()
    }

    pub(crate) fn end_all(&mut self) {
        self.tasks.drain(..).for_each(|task| task.abort());
    }
}

/// The shares of the file descriptors that this process may open. Each connection is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Descriptors {
    /// For connections of webhook clients, within their limit.
    pub(crate) webhooks: usize,
    /// For those over it, until they have been told so.
    pub(crate) crowded: usize,
    /// For the admin listener.
    pub(crate) admin: usize,
}

/// The most descriptors that the policy, files and listeners need.
const OTHERS: usize = 192;

impl Descriptors {
    /// Shares out what this process may open.
    pub(crate) fn of_this_process() -> Self {
        let (soft, _) = rlimit::getrlimit(Resource::NOFILE).unwrap_or((1024, 1024));
        Self::of(usize::try_from(soft).unwrap_or(usize::MAX))
    }

    fn of(all: usize) -> Self {
        let (crowded, admin) = ((all / 8).clamp(1, 1024), (all / 8).clamp(1, 64));
        let others = OTHERS.min(all / 4);
        Self { webhooks: all.saturating_sub(crowded + admin + others).max(1), crowded, admin }
    }
}

#[cfg(test)]
mod tests {
    use super::Descriptors;

    #[test]
    fn all_have_their_part_however_few_there_are() {
        for (all, webhooks, crowded, admin) in
            [(65_536, 64_256, 1024, 64), (1024, 640, 128, 64), (100, 51, 12, 12), (8, 4, 1, 1)]
        {
            assert_eq!(Descriptors::of(all), Descriptors { webhooks, crowded, admin }, "{all}");
        }
    }
}
