//! The differences between OpenIM's releases: which replies deny, and the error that the API returns.

use super::ClientError;
use crate::contract::{Callback, Timing};

/// A release of OpenIM, or several that read replies alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr)]
pub enum Release {
    /// release-v3.5. An actionCode other than 0 denies too. Denials of After callbacks are obeyed, although the operation is
    /// done.
    #[strum(serialize = "3.5")]
    V3_5,
    /// release-v3.7. As 3.8, but with one webhook for each new member of a group.
    #[strum(serialize = "3.7")]
    V3_7,
    /// release-v3.8. Message and detail of a denial are joined. A panic ends the whole process, as in earlier releases.
    #[strum(serialize = "3.8")]
    V3_8,
    /// 3.8.3-patch. Message and detail are separate, and all codes from 1 on are returned.
    #[strum(serialize = "3.8.3")]
    V3_8_3,
    /// pre-release-v3.8.4 and main. Code 0 is a success, codes below 100 are replaced, and a message's content must be a JSON
    /// object.
    #[strum(serialize = "3.8.4")]
    V3_8_4,
}

/// The code that replaces an invalid one (openimsdk/tools, errs).
const SERVER_INTERNAL_ERROR: i32 = 500;

impl Release {
    /// Every release, oldest first.
    pub const ALL: [Self; 5] = [Self::V3_5, Self::V3_7, Self::V3_8, Self::V3_8_3, Self::V3_8_4];

    /// Returns the number: `3.8.4`.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Returns true if this release uses the reply to a callback with this timing. From 3.7 on replies to After callbacks are
    /// decoded and dropped; 3.5 returns most of their denials to the API client, although the operation is done.
    pub fn heeds(self, timing: Timing) -> bool {
        timing == Timing::Before || self == Self::V3_5
    }

    /// Returns true if this release sends a callback under this command. All older commands of the contract are those of 3.5,
    /// which has no other ones for these callbacks (pkg/callbackstruct/constant.go).
    pub fn posts(self, callback: &Callback, command: &str) -> bool {
        let older = self == Self::V3_5 && !callback.older_commands.is_empty();
        callback.releases.contains(&self.as_str()) && older == (command != callback.command)
    }

    /// Returns true if a reply with these codes denies, whatever its errCode (pkg/callbackstruct/common.go, Parse).
    pub(super) fn denies(self, action_code: i32, next_code: i32) -> bool {
        match self {
            Self::V3_5 => action_code != 0 || next_code == 1,
            Self::V3_7 | Self::V3_8 | Self::V3_8_3 | Self::V3_8_4 => action_code == 0 && next_code == 1,
        }
    }

    /// Returns the error that the API client receives, after an error has crossed OpenIM's internal gRPC (openimsdk/tools:
    /// before 3.8.4 mw/rpc_server_interceptor.go and mw/rpc_client_interceptor.go, then mw/grpc/server/error.go and
    /// mw/grpc/client/error.go).
    pub(super) fn client_error(self, code: i32, message: &str, detail: &str) -> ClientError {
        let error = |code, message: &str, detail: &str| ClientError {
            code,
            message: message.to_owned(),
            detail: detail.to_owned(),
        };
        // errs/coderr.go, Error.
        let mut whole = format!("{code} {message}");
        if !detail.is_empty() {
            whole.extend([" ", detail]);
        }
        let valid = if code > 0 { code } else { SERVER_INTERNAL_ERROR };
        match self {
            Self::V3_5 => error(valid, message, &whole),
            Self::V3_7 | Self::V3_8 => error(valid, &whole, &whole),
            Self::V3_8_3 => {
                let message = if message.is_empty() { &whole } else { message };
                error(valid, message, if detail.is_empty() { message } else { detail })
            }
            // The code becomes the status code of a gRPC call, and is read as such: 0 is OK, 14 UNAVAILABLE, and a negative
            // one invalid.
            Self::V3_8_4 => match code {
                0 => error(0, "", ""),
                14 => error(SERVER_INTERNAL_ERROR, &format!("grpc service … down, grpc message {message}"), ""),
                ..100 => error(SERVER_INTERNAL_ERROR, "ServerInternalError", ""),
                100.. => error(code, message, detail),
            },
        }
    }
}
