//! What ended undelivered, within its bounds.

use rusqlite::{Connection, OptionalExtension, params};

/// How many there are, and their bytes.
pub(super) fn count(connection: &Connection) -> rusqlite::Result<(usize, usize)> {
    connection.query_row("select count(*), coalesce(sum(bytes), 0) from dead indexed by dead_died", [], |row| {
        let count = |column| row.get::<_, i64>(column).map(|count| usize::try_from(count).unwrap_or_default());
        Ok((count(0)?, count(1)?))
    })
}

/// Drops the oldest until so many bytes are free; gives how many and their bytes.
pub(super) fn make_room(connection: &Connection, bytes: usize) -> rusqlite::Result<(usize, usize)> {
    let (mut dropped, mut freed) = (0, 0);
    while freed < bytes {
        let Some(size) = drop_oldest(connection, i64::MAX)? else { break };
        dropped += 1;
        freed += size;
    }
    Ok((dropped, freed))
}

/// So many are dropped at a time for their age.
pub(super) const AT_ONCE: usize = 1_000;

/// Drops what died before then, [`AT_ONCE`] at most, in one transaction; gives how many and their bytes.
pub(super) fn drop_older(connection: &Connection, than: i64) -> rusqlite::Result<(usize, usize)> {
    let transaction = connection.unchecked_transaction()?;
    let (mut dropped, mut freed) = (0, 0);
    while dropped < AT_ONCE {
        let Some(size) = drop_oldest(connection, than)? else { break };
        dropped += 1;
        freed += size;
    }
    transaction.commit()?;
    Ok((dropped, freed))
}

fn drop_oldest(connection: &Connection, than: i64) -> rusqlite::Result<Option<usize>> {
    let mut delete = connection.prepare_cached(
        "delete from dead where id = (select id from dead where died < ? order by died limit 1) returning bytes",
    )?;
    let bytes: Option<i64> = delete.query_row(params![than], |row| row.get(0)).optional()?;
    Ok(bytes.map(|bytes| usize::try_from(bytes).unwrap_or_default()))
}
