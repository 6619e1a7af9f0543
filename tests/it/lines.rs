//! Lines to a place that is slow, full or breaks off: what is taken is written whole, and the rest is counted.

use std::io::{self, ErrorKind, Write};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hookgate::observe::lines::{Counts, Lines, Target};

/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a write does.
enum Do {
    /// Takes so many bytes, or all that there are.
    Take(usize),
    Fail(ErrorKind),
}

/// A place that does what the test says, write by write, and afterwards takes everything.
struct Place {
    text: Arc<Mutex<Vec<u8>>>,
    script: Receiver<Do>,
    takes_back: bool,
    reopened: Arc<Mutex<u32>>,
}

impl Write for Place {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        let taken = match self.script.recv() {
            Ok(Do::Fail(kind)) => return Err(kind.into()),
            Ok(Do::Take(bytes)) => bytes.min(lines.len()),
            Err(_) => lines.len(),
        };
        self.text.lock().unwrap().extend_from_slice(&lines[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Target for Place {
    fn refresh(&mut self, asked: bool) {
        *self.reopened.lock().unwrap() += u32::from(asked);
    }

    fn take_back(&mut self, bytes: usize) -> bool {
        let mut text = self.text.lock().unwrap();
        let whole = text.len() - bytes;
        if self.takes_back {
            text.truncate(whole);
        }
        self.takes_back
    }

    fn left_out(&mut self, lines: u64, why: Option<&io::Error>) -> Option<String> {
        why.is_none().then(|| format!("({lines})\n"))
    }
}

struct Case {
    lines: Lines,
    counts: Arc<Counts>,
    text: Arc<Mutex<Vec<u8>>>,
    script: Sender<Do>,
    reopened: Arc<Mutex<u32>>,
}

impl Case {
    fn new(room: usize, takes_back: bool) -> Self {
        let (script, commands) = channel();
        let (text, counts, reopened) = (Arc::default(), Arc::<Counts>::default(), Arc::default());
        let place = Place { text: Arc::clone(&text), script: commands, takes_back, reopened: Arc::clone(&reopened) };
        let lines = Lines::to("place", place, room, counts.clone()).unwrap();
        Self { lines, counts, text, script, reopened }
    }

    /// Lets everything be written from here on; gives what there is.
    fn whole(self) -> (String, u64, u64) {
        drop(self.script);
        assert!(self.lines.flush(PATIENCE));
        let text = String::from_utf8(self.text.lock().unwrap().clone()).unwrap();
        (text, self.counts.written(), self.counts.left_out())
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
    expected.split_inclusive('\n').for_each(|line| case.lines.push(line.as_bytes()));
    assert_eq!(case.whole(), (expected, 100, 0));
}

#[test]
fn what_finds_no_room_is_left_out_where_it_would_have_stood() {
    let case = Case::new(20, false);
    // The first is on its way, and held up there, while the others fill the room.
    case.script.send(Do::Take(1)).unwrap();
    case.lines.push(b"first\n");
    while case.text.lock().unwrap().is_empty() {
        std::thread::yield_now();
    }
    for line in ["second....\n", "third...\n", "fourth\n", "fifth\n"] {
        case.lines.push(line.as_bytes());
    }
    assert_eq!(case.counts.left_out(), 2);
    let lines = case.lines.clone();
    let (text, written, left_out) = case.whole();
    assert_eq!(text, "first\nsecond....\nthird...\n(2)\n");
    assert_eq!((written, left_out), (4, 2));
    drop(lines);
}

#[test]
fn a_line_that_breaks_off_is_taken_back_or_ended() {
    for (takes_back, expected) in [(true, "one\nthree\n"), (false, "one\ntw\nthree\n")] {
        let case = Case::new(1 << 20, takes_back);
        case.script.send(Do::Take(6)).unwrap();
        case.script.send(Do::Fail(ErrorKind::StorageFull)).unwrap();
        case.lines.push(b"one\ntwo\n");
        // Written or not, it is done with.
        assert!(case.lines.flush(PATIENCE));
        case.lines.push(b"three\n");
        let (text, written, left_out) = case.whole();
        assert_eq!((&*text, written, left_out), (expected, 2, 1));
    }
}

#[test]
fn a_place_is_taken_anew_when_somebody_asks_and_let_go_of_at_the_end() {
    let case = Case::new(1 << 20, false);
    case.lines.reopen();
    case.lines.push(b"one\n");
    let (reopened, text) = (case.reopened.clone(), case.text.clone());
    assert_eq!(case.whole().0, "one\n");
    assert_eq!(*reopened.lock().unwrap(), 1);
    // The thread has ended when nobody else holds what the place held.
    while Arc::strong_count(&text) > 1 {
        std::thread::yield_now();
    }
}

#[test]
fn a_flush_does_not_wait_for_ever() {
    let case = Case::new(1 << 20, false);
    case.lines.push(b"one\n");
    assert!(!case.lines.flush(Duration::from_millis(1)));
    assert_eq!(case.whole().0, "one\n");
}
