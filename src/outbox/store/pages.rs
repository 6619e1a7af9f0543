//! Rows read from a damaged file page by page, where what leads to the pages is damaged itself.
//!
//! The format is SQLite's own and documented (sqlite.org/fileformat2.html): a leaf of a table is a page of kind 13 that
//! lists its cells, a cell is a length, a row's number and a record, and a long record goes on in other pages.

use rusqlite::types::Value;

/// A leaf of a table.
const LEAF: u8 = 13;

/// A row: its number, and the values of its columns.
pub(super) type Row = (i64, Vec<Value>);

/// Every row of every leaf of a file. Among them may be some that had been deleted.
pub(super) fn rows(file: &[u8], page_size: usize) -> impl Iterator<Item = Row> {
    file.chunks_exact(page_size).skip(1).filter(|page| page[0] == LEAF).flat_map(move |page| {
        let cells = usize::from(u16::from_be_bytes([page[3], page[4]]));
        (0..cells).filter_map(move |cell| {
            let at = page.get(8 + 2 * cell..10 + 2 * cell)?;
            row(file, page, usize::from(u16::from_be_bytes([at[0], at[1]])))
        })
    })
}

fn row(file: &[u8], page: &[u8], at: usize) -> Option<Row> {
    let mut cell = page.get(at..)?;
    let (length, number) = (usize::try_from(varint(&mut cell)?).ok()?, varint(&mut cell)?);
    let record = payload(file, page.len(), cell, length)?;
    let mut head = &record[..];
    let head_length = usize::try_from(varint(&mut head)?).ok()?;
    let mut head = record.get(record.len() - head.len()..head_length)?;
    let (mut body, mut values) = (record.get(head_length..)?, Vec::new());
    while !head.is_empty() {
        values.push(value(varint(&mut head)?, &mut body)?);
    }
    Some((number, values))
}

/// A record, with what of it is in other pages.
fn payload(file: &[u8], page_size: usize, cell: &[u8], length: usize) -> Option<Vec<u8>> {
    let (most, least) = (page_size - 35, (page_size - 12) * 32 / 255 - 23);
    if length <= most {
        return cell.get(..length).map(<[u8]>::to_vec);
    }
    if length > file.len() {
        return None;
    }
    let fits = least + (length - least) % (page_size - 4);
    let here = if fits <= most { fits } else { least };
    let mut payload = cell.get(..here)?.to_vec();
    let mut next = cell.get(here..here + 4)?;
    while payload.len() < length {
        let number = usize::try_from(u32::from_be_bytes(next.try_into().ok()?)).ok()?.checked_sub(1)?;
        let page = file.get(number.checked_mul(page_size)?..)?.get(..page_size)?;
        next = &page[..4];
        let left = (length - payload.len()).min(page_size - 4);
        payload.extend_from_slice(&page[4..4 + left]);
    }
    Some(payload)
}

/// A value of this kind.
fn value(kind: i64, body: &mut &[u8]) -> Option<Value> {
    let mut take = |length: usize| {
        let (taken, rest) = body.split_at_checked(length)?;
        *body = rest;
        Some(taken)
    };
    Some(match kind {
        0 => Value::Null,
        1..=6 => {
            let bytes = take([1, 2, 3, 4, 6, 8][usize::try_from(kind - 1).ok()?])?;
            let sign = if bytes[0] >= 0x80 { -1 } else { 0 };
            Value::Integer(bytes.iter().fold(sign, |number, byte| (number << 8) | i64::from(*byte)))
        }
        8 => Value::Integer(0),
        9 => Value::Integer(1),
        12.. => {
            let bytes = take(usize::try_from((kind - 12) / 2).ok()?)?;
            match kind % 2 {
                0 => Value::Blob(bytes.to_vec()),
                _ => Value::Text(String::from_utf8(bytes.to_vec()).ok()?),
            }
        }
        _ => return None,
    })
}

fn varint(bytes: &mut &[u8]) -> Option<i64> {
    let mut number = 0_i64;
    for place in 0..9 {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        if place == 8 {
            return Some((number << 8) | i64::from(*byte));
        }
        number = (number << 7) | i64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            break;
        }
    }
    Some(number)
}
