//! The non-blocking writer before a sink that is slow, full or fails: what it takes is written whole, the rest is counted.

use std::io::{self, ErrorKind};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hookgate::internals::observe::writer::{Counts, NonBlocking, Options, Sink};

/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// The result of a write.
enum Do {
    /// Takes so many bytes at most.
    Take(usize),
    Fail(ErrorKind),
}

/// A sink that follows a script, write by write, and afterwards takes everything.
struct Scripted {
    text: Arc<Mutex<Vec<u8>>>,
    script: Receiver<Do>,
    truncates: bool,
}

impl Sink for Scripted {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        let taken = match self.script.recv() {
            Ok(Do::Fail(kind)) => return Err(kind.into()),
            Ok(Do::Take(bytes)) => bytes.min(lines.len()),
            Err(_) => lines.len(),
        };
        self.text.lock().unwrap().extend_from_slice(&lines[..taken]);
        Ok(taken)
    }

    fn reopen_if_rotated(&mut self) {}

    fn truncate(&mut self, bytes: usize) -> bool {
        let mut text = self.text.lock().unwrap();
        let whole = text.len() - bytes;
        if self.truncates {
            text.truncate(whole);
        }
        self.truncates
    }
}

struct Case {
    lines: NonBlocking,
    counts: Arc<Counts>,
    text: Arc<Mutex<Vec<u8>>>,
    script: Sender<Do>,
}

impl Case {
    fn new(capacity: usize, truncates: bool) -> Self {
        let (script, commands) = channel();
        let (text, counts) = (Arc::default(), Arc::<Counts>::default());
        let sink = Scripted { text: Arc::clone(&text), script: commands, truncates };
        let report = |dropped, error: Option<&io::Error>| error.is_none().then(|| format!("({dropped})\n"));
        let options = Options { capacity, report_interval: Duration::ZERO, report };
        let lines = NonBlocking::start("scripted", sink, options, counts.clone()).unwrap();
        Self { lines, counts, text, script }
    }

    fn push(&self, line: &str) {
        self.lines.push(line.into());
    }

    /// Lets everything be written from here on. Returns the text, and the numbers of lines written and dropped.
    fn end(self) -> (String, u64, u64) {
        drop(self.script);
        assert!(self.lines.flush(PATIENCE));
        let text = String::from_utf8(self.text.lock().unwrap().clone()).unwrap();
        (text, self.counts.written.load(Relaxed), self.counts.dropped.load(Relaxed))
    }
}

#[test]
fn lines_are_written_in_their_order_whatever_a_write_takes() {
    let case = Case::new(1 << 20, false);
    for step in
        [Do::Take(1), Do::Fail(ErrorKind::Interrupted), Do::Take(7), Do::Fail(ErrorKind::WouldBlock), Do::Take(3)]
    {
        case.script.send(step).unwrap();
    }
    let expected: String = (0..100).map(|number| format!("line {number}\n")).collect();
    expected.split_inclusive('\n').for_each(|line| case.push(line));
    assert_eq!(case.end(), (expected, 100, 0));
}

#[test]
fn lines_that_do_not_fit_are_reported_in_their_place() {
    let case = Case::new(20, false);
    // The first is being written, and held up there, while the others fill the queue.
    case.script.send(Do::Take(1)).unwrap();
    case.push("first\n");
    while case.text.lock().unwrap().is_empty() {
        std::thread::yield_now();
    }
    for line in ["second....\n", "third...\n", "fourth\n", "fifth\n"] {
        case.push(line);
    }
    assert_eq!(case.counts.dropped.load(Relaxed), 2);
    let (text, written, dropped) = case.end();
    assert_eq!(text, "first\nsecond....\nthird...\n(2)\n");
    assert_eq!((written, dropped), (4, 2));
}

#[test]
fn a_partial_line_is_truncated_or_ended() {
    for (truncates, expected) in [(true, "one\nthree\n"), (false, "one\ntw\nthree\n")] {
        let case = Case::new(1 << 20, truncates);
        case.script.send(Do::Take(6)).unwrap();
        case.script.send(Do::Fail(ErrorKind::StorageFull)).unwrap();
        case.push("one\ntwo\n");
        // Written or lost, it is done with.
        assert!(case.lines.flush(PATIENCE));
        case.push("three\n");
        let (text, written, dropped) = case.end();
        assert_eq!((&*text, written, dropped), (expected, 2, 1));
    }
}

#[test]
fn a_report_that_cannot_be_written_is_made_again() {
    let case = Case::new(10, false);
    case.script.send(Do::Take(1)).unwrap();
    case.push("first\n");
    while case.text.lock().unwrap().is_empty() {
        std::thread::yield_now();
    }
    case.push("second\n");
    case.push("third...\n");
    // The rest of the first, the second, and the report.
    for step in [Do::Take(100), Do::Take(100), Do::Fail(ErrorKind::StorageFull)] {
        case.script.send(step).unwrap();
    }
    assert!(case.lines.flush(PATIENCE));
    case.push("fourth\n");
    assert_eq!(case.end(), ("first\nsecond\nfourth\n(1)\n".to_owned(), 4, 1));
}

#[test]
fn the_sink_is_closed_with_the_last_handle() {
    let case = Case::new(1 << 20, false);
    let text = case.text.clone();
    case.push("one\n");
    assert_eq!(case.end().0, "one\n");
    // The thread has ended when nothing else holds what the sink held.
    while Arc::strong_count(&text) > 1 {
        std::thread::yield_now();
    }
}

#[test]
fn a_flush_times_out() {
    let case = Case::new(1 << 20, false);
    case.push("one\n");
    assert!(!case.lines.flush(Duration::from_millis(1)));
    assert_eq!(case.end().0, "one\n");
}
