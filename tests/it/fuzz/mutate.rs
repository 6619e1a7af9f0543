//! Mutates an input: its bytes, and the members of its objects.

use std::ops::Range;

/// Does one thing to an input.
pub fn mutate(data: &mut Vec<u8>, seeds: &[Vec<u8>], random: &mut fastrand::Rng) {
    let at = random.usize(..=data.len());
    let to = random.usize(at..=data.len().min(at + 16));
    let members = members(data);
    match random.u8(..8) {
        6 if !members.is_empty() => mutate_member(data, random.choice(&members).expect("a member").clone(), random),
        // A letter in other case, or as one that folds to it.
        7 if !data.is_empty() => {
            let at = at.min(data.len() - 1);
            let other: &[u8] = match data[at] {
                b's' | b'S' if random.bool() => "\u{17f}".as_bytes(),
                b'k' | b'K' if random.bool() => "\u{212a}".as_bytes(),
                letter if letter.is_ascii_alphabetic() => &[letter ^ 0x20],
                _ => return,
            };
            data.splice(at..=at, other.iter().copied());
        }
        0 => data.truncate(at),
        1 => drop(data.drain(at..to)),
        2 => data.insert(at, random.u8(..)),
        3 => {
            let again = data[at..to].to_vec();
            data.splice(at..at, again);
        }
        4 => {
            let other = random.choice(seeds).expect("a seed");
            let from = random.usize(..=other.len());
            data.splice(at..to, other[from..other.len().min(from + 32)].iter().copied());
        }
        _ => {
            const TOKENS: [&[u8]; 12] = [
                b"null",
                b"\"",
                b"{",
                b"}",
                b"[",
                b"]",
                b"-0",
                b"1e9",
                b"\\u0000",
                b"\xff",
                b"&a [*a,*a]",
                b"\x0a\x00",
            ];
            data.splice(at..to, random.choice(TOKENS).expect("a token").iter().copied());
        }
    }
}

/// The members of all objects, `"name":value` each, as far as the bytes are JSON.
fn members(data: &[u8]) -> Vec<Range<usize>> {
    let (mut found, mut open, mut at) = (Vec::new(), Vec::new(), 0);
    while at < data.len() {
        match data[at] {
            b'"' => {
                let text = data[at + 1..].iter().scan(false, |escaped, byte| {
                    let ends = *byte == b'"' && !*escaped;
                    *escaped = *byte == b'\\' && !*escaped;
                    (!ends).then_some(())
                });
                at += 1 + text.count();
            }
            b'{' | b'[' => open.push(at + 1),
            b',' | b'}' | b']' => {
                if let Some(from) = open.pop() {
                    found.extend((data[from..at].first() == Some(&b'"')).then_some(from..at));
                    open.extend((data[at] == b',').then_some(at + 1));
                }
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// Does something to a member that leaves JSON what it is.
fn mutate_member(data: &mut Vec<u8>, member: Range<usize>, random: &mut fastrand::Rng) {
    const VALUES: [&str; 16] = [
        "null",
        "true",
        "0",
        "-0",
        "-1",
        "1.0",
        "2147483648",
        "9223372036854775808",
        "\"\"",
        "\"\\u0002\"",
        "\"\\ud800\"",
        "[]",
        "[null]",
        "[\"a\"]",
        "{}",
        "[{}]",
    ];
    let mut again = data[member.clone()].to_vec();
    let name = again.iter().skip(1).position(|byte| *byte == b'"').map_or(again.len(), |end| end + 1);
    match random.u8(..4) {
        // Another value.
        0 => {
            again.truncate(name + 2);
            again.extend_from_slice(random.choice(VALUES).expect("a value").as_bytes());
            drop(data.splice(member, again));
        }
        // The name in other case.
        1 => {
            again[..name].make_ascii_uppercase();
            drop(data.splice(member, again));
        }
        // Twice, perhaps by two names.
        other => {
            if other == 2 && name > 1 {
                let at = random.usize(1..name);
                again[at] = if again[at].is_ascii_alphabetic() { again[at] ^ 0x20 } else { again[at] };
            }
            again.push(b',');
            drop(data.splice(member.start..member.start, again));
        }
    }
}
