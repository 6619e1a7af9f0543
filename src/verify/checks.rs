//! The checks: their names, what each is for, what it sends. The one place that says so; the run, its reports, the help
//! and the tests go by it.

/// Something that is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "one home: the table below")]
pub enum Check {
    Connection,
    Health,
    Reflection,
    Implemented,
    Lifelike,
    Empty,
    Huge,
    Unicode,
    NullLaden,
    UnknownFields,
    Duplicate,
    Cancelled,
    Deadline,
    Concurrent,
}

/// What there is to say of a check.
struct About {
    name: &'static str,
    purpose: &'static str,
    sent: &'static str,
}

impl Check {
    /// Those of the service as a whole, in the order in which they are shown.
    pub const OF_SERVICE: [Self; 4] = [Self::Connection, Self::Health, Self::Reflection, Self::Implemented];

    /// Those of every callback that is implemented, in the order in which they are made.
    pub const OF_CALLBACK: [Self; 10] = [
        Self::Lifelike,
        Self::Empty,
        Self::Huge,
        Self::Unicode,
        Self::NullLaden,
        Self::UnknownFields,
        Self::Duplicate,
        Self::Cancelled,
        Self::Deadline,
        Self::Concurrent,
    ];

    /// Every check.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::OF_SERVICE.into_iter().chain(Self::OF_CALLBACK)
    }

    /// The check with this name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::all().find(|check| check.name() == name)
    }

    /// Its name: `null-laden`.
    pub fn name(self) -> &'static str {
        self.about().name
    }

    /// What it is for, in a sentence.
    pub fn purpose(self) -> &'static str {
        self.about().purpose
    }

    /// What is sent, in a few words.
    pub fn sent(self) -> &'static str {
        self.about().sent
    }

    /// Whether it is one of the service as a whole.
    pub fn is_of_service(self) -> bool {
        Self::OF_SERVICE.contains(&self)
    }

    fn about(self) -> About {
        let (name, purpose, sent) = match self {
            Self::Connection => ("connection", "The policy is reached and speaks HTTP/2.", "a connection"),
            Self::Health => ("health", "grpc.health.v1 says SERVING; hookgate follows it.", "grpc.health.v1 Check"),
            Self::Reflection => (
                "reflection",
                "Server reflection lists the services, so that grpcurl needs no files.",
                "ListServices of grpc.reflection.v1, or v1alpha",
            ),
            Self::Implemented => {
                ("implemented", "At least one callback is not UNIMPLEMENTED.", "a lifelike call of each rpc")
            }
            Self::Lifelike => ("lifelike", "A webhook as OpenIM sends it is answered.", "a lifelike request"),
            Self::Empty => ("empty", "A request without any field is answered.", "a request without any field"),
            Self::Huge => (
                "huge",
                "A large webhook, of 1 MiB, is answered.",
                "a request near 1 MiB: every text long, 500 entries in every list",
            ),
            Self::Unicode => (
                "unicode",
                "Texts from all over Unicode are answered.",
                "every text with emoji, right-to-left, combining marks, NUL, U+FFFD, U+2028",
            ),
            Self::NullLaden => (
                "null-laden",
                "What OpenIM may send as null may be absent.",
                "a lifelike request, with every list, optional field and optional group absent",
            ),
            Self::UnknownFields => (
                "unknown-fields",
                "What a newer OpenIM sends besides is no reason to fail.",
                "a lifelike request with unknown_fields, of nested objects too",
            ),
            Self::Duplicate => (
                "duplicate",
                "An event that comes again, with the same hookgate-event-id, is answered as well.",
                "a lifelike event twice, with one hookgate-event-id",
            ),
            Self::Cancelled => (
                "cancelled",
                "Calls that are given up in mid-flight harm no later one.",
                "calls cancelled in mid-flight, then a lifelike request",
            ),
            Self::Deadline => (
                "deadline",
                "Calls with hardly any time harm no later one.",
                "calls with a deadline of 1 ms, then a lifelike request",
            ),
            Self::Concurrent => ("concurrent", "64 calls at once are all answered.", "64 lifelike requests at once"),
        };
        About { name, purpose, sent }
    }
}
