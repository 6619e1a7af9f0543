//! The content of messages: a JSON object whose names depend on the content type. OpenIM enforces none of them, but its
//! clients look for them.
//!
//! Sources: protocol, constant/constant.go; open-im-server, pkg/apistruct/msg.go (`validate:"required"`); openim-sdk-core,
//! sdk_struct/sdk_struct.go.

use super::decode::{self, is_same};

/// A kind of message content.
#[derive(Debug)]
pub(crate) struct ContentType {
    /// The number: `contentType`.
    pub number: i64,
    /// The name, as in `text`.
    pub name: &'static str,
    /// The names without which it cannot be shown.
    required: &'static [&'static str],
    /// All other names. `None` if they are not known: any is taken.
    optional: Option<&'static [&'static str]>,
    /// An example.
    pub example: &'static str,
}

/// The kinds whose names are known. Notifications (1000 to 5000) have names of their own, and are normally empty.
pub(crate) const CONTENT_TYPES: &[ContentType] = &[
    ContentType {
        number: 101,
        name: "text",
        required: &["content"],
        optional: Some(&[]),
        example: r#"{"content":"hello"}"#,
    },
    ContentType {
        number: 102,
        name: "picture",
        required: &["sourcePicture"],
        optional: None,
        example: r#"{"sourcePath":"","sourcePicture":{"uuid":"p1","type":"png","size":1024,"width":64,"height":64,"url":"https://cdn.example.com/p1.png"},"bigPicture":{"uuid":"p1","type":"png","size":1024,"width":64,"height":64,"url":"https://cdn.example.com/p1.png"},"snapshotPicture":{"uuid":"p1","type":"png","size":512,"width":32,"height":32,"url":"https://cdn.example.com/p1s.png"}}"#,
    },
    ContentType {
        number: 103,
        name: "voice",
        required: &["sourceUrl"],
        optional: None,
        example: r#"{"uuid":"v1","soundPath":"","sourceUrl":"https://cdn.example.com/v1.m4a","dataSize":2048,"duration":3}"#,
    },
    ContentType {
        number: 104,
        name: "video",
        required: &["videoUrl"],
        optional: None,
        example: r#"{"videoPath":"","videoUUID":"v2","videoUrl":"https://cdn.example.com/v2.mp4","videoType":"mp4","videoSize":4096,"duration":5,"snapshotPath":"","snapshotUUID":"s2","snapshotSize":512,"snapshotUrl":"https://cdn.example.com/s2.png","snapshotWidth":32,"snapshotHeight":32}"#,
    },
    ContentType {
        number: 105,
        name: "file",
        required: &["sourceUrl"],
        optional: None,
        example: r#"{"filePath":"","uuid":"f1","sourceUrl":"https://cdn.example.com/f1.pdf","fileName":"f1.pdf","fileSize":4096}"#,
    },
    ContentType {
        number: 106,
        name: "text that mentions",
        required: &["text"],
        optional: Some(&["atUserList", "atUsersInfo", "quoteMessage", "isAtSelf"]),
        example: r#"{"text":"@Bob hello","atUserList":["u1002"],"atUsersInfo":[{"atUserID":"u1002","groupNickname":"Bob"}],"quoteMessage":null,"isAtSelf":false}"#,
    },
    ContentType {
        number: 109,
        name: "location",
        required: &["longitude", "latitude"],
        optional: None,
        example: r#"{"description":"the old bridge","longitude":8.5,"latitude":47.4}"#,
    },
    ContentType {
        number: 110,
        name: "custom",
        required: &["data"],
        optional: Some(&["description", "extension"]),
        example: r#"{"data":"{\"poll\":7}","description":"a poll","extension":""}"#,
    },
    ContentType {
        number: 114,
        name: "quote",
        required: &["text"],
        optional: Some(&["quoteMessage", "messageEntityList"]),
        example: r#"{"text":"yes","quoteMessage":{"clientMsgID":"c1","sendID":"u1002","contentType":101,"textElem":{"content":"coming?"}}}"#,
    },
    ContentType {
        number: 117,
        name: "advanced text",
        required: &["text"],
        optional: Some(&["messageEntityList"]),
        example: r#"{"text":"hello","messageEntityList":[]}"#,
    },
    ContentType {
        number: 118,
        name: "markdown",
        required: &["content"],
        optional: Some(&[]),
        example: r#"{"content":"**hello**"}"#,
    },
];

impl ContentType {
    /// Returns the kind with a number, if it is known.
    pub(crate) fn by_number(number: i64) -> Option<&'static Self> {
        CONTENT_TYPES.iter().find(|kind| kind.number == number)
    }

    /// Compares the names of an object with those of this kind, as Go does, without regard to case. The error describes both.
    pub(super) fn check(&self, names: &[String]) -> Result<(), String> {
        let has = |wanted: &&&str| names.iter().any(|name| is_same(name, wanted));
        let missing: Vec<_> = self.required.iter().filter(|wanted| !has(wanted)).copied().collect();
        let is_known = |name: &&String| {
            let Some(optional) = self.optional else { return true };
            self.required.iter().chain(optional).any(|known| is_same(known, name))
        };
        let other: Vec<_> = names.iter().filter(|name| !is_known(name)).take(3).map(String::as_str).collect();
        let problem = match (&*missing, &*other) {
            // Clients pass over a name that they do not know.
            ([], _) => return Ok(()),
            (missing, []) => format!("has no {}", missing.join(", ")),
            (missing, other) => format!("has {} and no {}", other.join(", "), missing.join(", ")),
        };
        Err(format!("{problem}, which is not contentType {} ({})", self.number, self.name))
    }
}

/// Returns the names of a content's object; `None` if it is no JSON object.
pub(super) fn names(content: &str) -> Option<Vec<String>> {
    Some(decode::members(content).ok()?.into_iter().map(|(name, _)| name).collect())
}
