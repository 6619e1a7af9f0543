//! A policy that refuses events until it takes everything.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use tonic::Status;

use crate::support::{self, Call};

/// The ID of a call's event.
pub fn id(call: &Call) -> String {
    call.metadata("hookgate-event-id").unwrap().to_owned()
}

/// A policy that refuses every event until it takes everything, but for those whose IDs begin with `ok`. Those that begin with
/// `dies` end by that.
pub struct Moody {
    pub policy: support::Policy,
    pub takes: Arc<AtomicBool>,
    taken: Arc<Mutex<Vec<String>>>,
}

impl Moody {
    pub async fn start() -> Self {
        let (takes, taken) = (Arc::new(AtomicBool::new(false)), Arc::<Mutex<Vec<String>>>::default());
        let (may, book) = (takes.clone(), taken.clone());
        let policy = support::Policy::start(move |call| {
            let id = id(call);
            match may.load(SeqCst) || id.starts_with("ok") {
                true => {
                    book.lock().unwrap().push(id);
                    Ok(Vec::new())
                }
                false if id.starts_with("dies") => Err(Status::unimplemented("no")),
                false => Err(Status::internal("not now")),
            }
        })
        .await;
        Self { policy, takes, taken }
    }

    /// The IDs of the events that it has taken, in their order.
    pub fn taken(&self) -> Vec<String> {
        self.taken.lock().unwrap().clone()
    }
}
