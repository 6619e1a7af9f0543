//! Limits on connections: their number, and the file descriptors that they share.

use std::collections::VecDeque;

use rlimit::Resource;
use tokio::task::AbortHandle;

/// Tasks up to a maximum, the oldest first: one more aborts the oldest.
#[derive(Debug)]
pub(crate) struct BoundedTasks {
    tasks: VecDeque<AbortHandle>,
    max: usize,
}

impl BoundedTasks {
    pub(crate) fn new(max: usize) -> Self {
        Self { tasks: VecDeque::new(), max }
    }

    /// Adds a task. Returns true if the oldest was aborted for it.
    pub(crate) fn push(&mut self, task: AbortHandle) -> bool {
        if self.tasks.len() >= self.max {
            self.tasks.retain(|task| !task.is_finished());
        }
        let aborted = self.tasks.len() >= self.max && self.abort_oldest();
        self.tasks.push_back(task);
        aborted
    }

    /// Aborts the oldest task. Returns false if there is none.
    pub(crate) fn abort_oldest(&mut self) -> bool {
        let oldest = self.tasks.pop_front();
        oldest.inspect(AbortHandle::abort).is_some()
    }

    pub(crate) fn abort_all(&mut self) {
        self.tasks.drain(..).for_each(|task| task.abort());
    }
}

/// The file descriptors of this process, by their use. Each connection is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Descriptors {
    /// For connections of webhook clients.
    pub(crate) webhooks: usize,
    /// For those over the limit, until they have their reply.
    pub(crate) over_limit: usize,
    /// For the admin listener.
    pub(crate) admin: usize,
}

/// Maximum descriptors for the policy, files and listeners.
const OTHERS: usize = 192;

impl Descriptors {
    /// Divides what this process may open.
    pub(crate) fn of_this_process() -> Self {
        let (soft, _) = rlimit::getrlimit(Resource::NOFILE).unwrap_or((1024, 1024));
        Self::of(usize::try_from(soft).unwrap_or(usize::MAX))
    }

    fn of(all: usize) -> Self {
        let (over_limit, admin) = ((all / 8).clamp(1, 1024), (all / 8).clamp(1, 64));
        let others = OTHERS.min(all / 4);
        Self { webhooks: all.saturating_sub(over_limit + admin + others).max(1), over_limit, admin }
    }
}

#[cfg(test)]
mod tests {
    use super::Descriptors;

    #[test]
    fn each_use_has_some_of_few() {
        for (all, webhooks, over_limit, admin) in
            [(65_536, 64_256, 1024, 64), (1024, 640, 128, 64), (100, 51, 12, 12), (8, 4, 1, 1)]
        {
            assert_eq!(Descriptors::of(all), Descriptors { webhooks, over_limit, admin }, "{all}");
        }
    }
}
