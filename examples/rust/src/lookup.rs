//! Looking blocked words up, within the time that a call has.

use std::time::Duration;

use tonic::Request;

use crate::content;
use crate::text::Words;

/// The time before a call's deadline at which the policy stops waiting, so that its answer still arrives.
const TIME_TO_REPLY: Duration = Duration::from_millis(50);

/// Blocked words, which are in memory here.
pub struct Lookup {
    words: Words,
    /// Stands for the time that a moderation service would take.
    delay: Duration,
}

/// The deadline came before the answer.
#[derive(Debug)]
pub struct Late;

impl Lookup {
    pub fn new(words: Words, delay: Duration) -> Self {
        Self { words, delay }
    }

    /// Returns true if there is no word to look for.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// Returns true if a client could show one of the words. Gives up after `limit`.
    pub async fn find(&self, content: &str, limit: Option<Duration>) -> Result<bool, Late> {
        match limit {
            Some(limit) => tokio::time::timeout(limit, self.ask(content)).await.map_err(|_| Late),
            None => Ok(self.ask(content).await),
        }
    }

    /// Call your moderation service here: what awaits it is dropped in time.
    async fn ask(&self, content: &str) -> bool {
        if !self.delay.is_zero() {
            tokio::time::sleep(self.delay).await;
        }
        content::holds_word(content, &self.words)
    }
}

/// Returns the time that a rule may wait for something; none where the call has no deadline. tonic itself ends a call at
/// its deadline, but then the answer comes too late.
pub fn limit<T>(request: &Request<T>) -> Option<Duration> {
    let value = request.metadata().get("grpc-timeout")?.to_str().ok()?;
    let (number, unit) = value.split_at_checked(value.len().checked_sub(1)?)?;
    let number: u32 = number.parse().ok()?;
    let unit = match unit {
        "H" => Duration::from_secs(3600),
        "M" => Duration::from_secs(60),
        "S" => Duration::from_secs(1),
        "m" => Duration::from_millis(1),
        "u" => Duration::from_micros(1),
        "n" => Duration::from_nanos(1),
        _ => return None,
    };
    Some((unit * number).saturating_sub(TIME_TO_REPLY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_that_is_left_is_read() {
        for (value, left) in [
            ("1H", Some(3_599_950)),
            ("2M", Some(119_950)),
            ("4S", Some(3950)),
            ("99999999m", Some(99_999_949)),
            ("60000u", Some(10)),
            ("1n", Some(0)),
            ("", None),
            ("S", None),
            ("1s", None),
            ("-1S", None),
        ] {
            let mut request = Request::new(());
            request.metadata_mut().insert("grpc-timeout", value.parse().unwrap());
            assert_eq!(limit(&request), left.map(Duration::from_millis), "{value}");
        }
        assert_eq!(limit(&Request::new(())), None);
    }

    #[tokio::test]
    async fn a_lookup_ends_in_time() {
        let mut words = Words::default();
        words.add("spam");
        let lookup = Lookup::new(words, Duration::from_secs(3600));
        lookup.find("spam", Some(Duration::from_millis(10))).await.unwrap_err();
    }
}
