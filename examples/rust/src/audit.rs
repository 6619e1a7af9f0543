//! The audit: one line of JSON an event, each event once for as long as the process runs.
//!
//! After a restart, or in another replica, an event can be written again. A service that keeps events in a database has it
//! refuse the second one, in the transaction of the effect: `INSERT … ON CONFLICT (event_id) DO NOTHING`.

use std::collections::{HashSet, VecDeque};
use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

/// So many event IDs are remembered.
const REMEMBERED: usize = 10_000;

/// What is written of an event.
#[derive(Serialize)]
#[serde(tag = "event")]
pub enum Line {
    AfterRemoveBlack { operation_id: String, event_id: String, owner_user_id: String, black_user_id: String },
    AfterRevokeMsg { operation_id: String, event_id: String, conversation_id: String, seq: i64, user_id: String },
}

impl Line {
    fn event_id(&self) -> &str {
        match self {
            Self::AfterRemoveBlack { event_id, .. } | Self::AfterRevokeMsg { event_id, .. } => event_id,
        }
    }
}

/// Where the lines go.
pub struct Audit(Mutex<Written>);

struct Written {
    out: Box<dyn Write + Send>,
    /// A failed write has left half a line behind.
    torn: bool,
    event_ids: HashSet<String>,
    /// The same, oldest first.
    in_order: VecDeque<String>,
}

impl Audit {
    pub fn new(out: impl Write + Send + 'static) -> Self {
        Self(Mutex::new(Written {
            out: Box::new(out),
            torn: false,
            event_ids: HashSet::new(),
            in_order: VecDeque::new(),
        }))
    }

    /// Writes a line, unless its event has been written: hookgate delivers an event again when it saw no answer. One
    /// that could not be written is not remembered, so it is written when it comes again. Blocks.
    pub fn append(&self, line: &Line) -> io::Result<()> {
        let mut json = serde_json::to_vec(line)?;
        json.push(b'\n');
        // Held until all is done: the same event may come twice at the same time.
        let mut written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if written.event_ids.contains(line.event_id()) {
            return Ok(());
        }
        written.write(&json)?;
        written.remember(line.event_id());
        Ok(())
    }
}

impl Written {
    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        // A new line keeps half a line and a whole one apart.
        let text = if self.torn { [b"\n", line].concat() } else { line.to_vec() };
        let mut rest = &text[..];
        while !rest.is_empty() {
            match self.out.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => rest = &rest[count..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            self.torn = !rest.is_empty();
        }
        self.out.flush()
    }

    fn remember(&mut self, event_id: &str) {
        // Without an ID two events cannot be told apart.
        if event_id.is_empty() {
            return;
        }
        if self.in_order.len() == REMEMBERED
            && let Some(oldest) = self.in_order.pop_front()
        {
            self.event_ids.remove(&oldest);
        }
        self.in_order.push_back(event_id.to_owned());
        self.event_ids.insert(event_id.to_owned());
    }
}

#[cfg(test)]
pub mod tests {
    use std::sync::Arc;

    use super::*;

    /// Keeps what is written; if it is to be, the disk is full after three bytes, once.
    #[derive(Clone, Default)]
    pub struct Memory(Arc<Mutex<(Vec<u8>, Option<usize>)>>);

    impl Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut memory = self.0.lock().unwrap();
            if memory.1 == Some(0) {
                memory.1 = None;
                return Err(io::ErrorKind::StorageFull.into());
            }
            let taken = memory.1.replace(0).unwrap_or(bytes.len());
            if taken == bytes.len() {
                memory.1 = None;
            }
            memory.0.extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Memory {
        pub fn lines(&self) -> Vec<String> {
            String::from_utf8(self.0.lock().unwrap().0.clone()).unwrap().lines().map(str::to_owned).collect()
        }
    }

    fn revoked(event_id: &str) -> Line {
        Line::AfterRevokeMsg {
            operation_id: "op".to_owned(),
            event_id: event_id.to_owned(),
            conversation_id: "si_u1_u2".to_owned(),
            seq: i64::MAX,
            user_id: "u1".to_owned(),
        }
    }

    #[test]
    fn an_event_is_written_once() {
        let memory = Memory::default();
        let audit = Audit::new(memory.clone());
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| audit.append(&revoked("e1")).unwrap());
            }
        });
        let line = r#"{"event":"AfterRevokeMsg","operation_id":"op","event_id":"e1","conversation_id":"si_u1_u2","#;
        assert_eq!(memory.lines(), [format!(r#"{line}"seq":9223372036854775807,"user_id":"u1"}}"#)]);
        // Without an ID it is written each time.
        audit.append(&revoked("")).unwrap();
        audit.append(&revoked("")).unwrap();
        assert_eq!(memory.lines().len(), 3);
    }

    #[test]
    fn an_event_that_could_not_be_written_is_written_when_it_comes_again() {
        let memory = Memory::default();
        memory.0.lock().unwrap().1 = Some(3);
        let audit = Audit::new(memory.clone());
        audit.append(&revoked("e1")).unwrap_err();
        audit.append(&revoked("e1")).unwrap();
        let lines = memory.lines();
        assert_eq!((lines.len(), lines[0].as_str()), (2, r#"{"e"#));
        assert!(lines[1].starts_with(r#"{"event":"#), "{lines:?}");
    }

    #[test]
    fn the_oldest_are_forgotten() {
        let memory = Memory::default();
        let audit = Audit::new(memory.clone());
        for number in 0..=REMEMBERED {
            audit.append(&revoked(&number.to_string())).unwrap();
        }
        audit.append(&revoked("1")).unwrap();
        assert_eq!(memory.lines().len(), REMEMBERED + 1);
        audit.append(&revoked("0")).unwrap();
        assert_eq!(memory.lines().len(), REMEMBERED + 2);
    }
}
